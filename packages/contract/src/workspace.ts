import { z } from 'zod';
import { DESCRIPTION_MAX_CHARACTERS, NAME_PATTERN, RESOURCE_GROUP_MAX_CHARACTERS } from './limits.ts';

/** Models of workspaces, which group runtimes (contract: data models). */

const text = z.string();
const description = text.max(DESCRIPTION_MAX_CHARACTERS).optional();

export const CreateWorkspaceInput = z
  .object({
    /** Unique, and for good: an update cannot change it. Never with a comma, by which clients join several. */
    name: text.regex(NAME_PATTERN, `must match ${NAME_PATTERN.source}`),
    description,
    /** Kept and shown; lists can select by it. */
    resourceGroupId: text.max(RESOURCE_GROUP_MAX_CHARACTERS).optional(),
  })
  .meta({ id: 'CreateWorkspaceInput' });

export const UpdateWorkspaceInput = z.object({ description }).meta({ id: 'UpdateWorkspaceInput' });

export const Workspace = z
  .object({
    workspaceId: text.optional(),
    workspaceArn: text.optional(),
    name: text.optional(),
    description: text.optional(),
    /** Where runtimes are whose creator named no workspace; there is always exactly one. */
    isDefault: z.boolean().optional(),
    resourceGroupId: text.optional(),
    /** ISO 8601 with fractional seconds and a zone. */
    createdAt: text.optional(),
    updatedAt: text.optional(),
  })
  .meta({ id: 'Workspace' });

export type CreateWorkspaceInput = z.infer<typeof CreateWorkspaceInput>;
export type UpdateWorkspaceInput = z.infer<typeof UpdateWorkspaceInput>;
export type Workspace = z.infer<typeof Workspace>;
