import { execFile } from 'node:child_process';
import { rm } from 'node:fs/promises';

/** Removes a folder with a server's data in it: installed dependencies are read-only until somebody says otherwise. */
export async function removeData(folder) {
  await new Promise((resolve) => {
    execFile('chmod', ['-R', 'u+w', folder], resolve);
  });
  await rm(folder, { recursive: true, force: true });
}
