import { NameTaken, NoSuchWorkspace } from '../store.ts';

/** @throws NameTaken when what was to be written has a name that another has */
export async function orNameTaken<T>(name: string, write: Promise<T>): Promise<T> {
  try {
    return await write;
  } catch (error) {
    if (
      error instanceof Error &&
      /UNIQUE constraint failed: \w+\.name|endpoints\.runtime_id, endpoints\.name/.test(error.message)
    ) {
      throw new NameTaken(`'${name}' already exists`, { cause: error });
    }
    throw error;
  }
}

/** @throws NoSuchWorkspace when what was to be written refers to one that is not there; it refers to nothing else */
export async function orNoSuchWorkspace<T>(id: string | undefined, write: Promise<T>): Promise<T> {
  try {
    return await write;
  } catch (error) {
    if (error instanceof Error && /FOREIGN KEY constraint failed/.test(error.message)) {
      throw new NoSuchWorkspace(`workspace '${id}' is not there`, { cause: error });
    }
    throw error;
  }
}
