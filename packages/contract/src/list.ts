import { z } from 'zod';
import { PAGE_SIZE_DEFAULT } from './limits.ts';

/** Query parameters of lists, as they arrive: strings (contract: list query parameters). */

const wholeNumber = (name: string) =>
  z
    .string()
    .regex(/^[1-9][0-9]{0,8}$/, `${name} must be an integer from 1`)
    .transform(Number)
    .optional();

const paging = {
  /** From 1. */
  pageNumber: wholeNumber('pageNumber').meta({ default: 1 }),
  /** At most 100; more is taken as 100. */
  pageSize: wholeNumber('pageSize').meta({ default: PAGE_SIZE_DEFAULT }),
};

export const SearchMode = z.enum(['exact', 'fuzzy']);
/** Several values joined by commas; spaces around them do not count. */
const list = z
  .string()
  .transform((value) =>
    value
      .split(',')
      .map((item) => item.trim())
      .filter((item) => item !== ''),
  )
  .optional();

export const ListAgentRuntimesQuery = z.object({
  ...paging,
  agentRuntimeName: z.string().optional(),
  /** How `agentRuntimeName` is matched; fuzzy: contained, letter case aside. */
  searchMode: SearchMode.optional(),
  status: list,
  systemTags: list,
  workspaceId: z.string().optional(),
  workspaceIds: list,
  /** Deprecated, ignored. */
  resourceGroupId: z.string().optional(),
  /** Deprecated, ignored. */
  discoveryResourceGroupId: z.string().optional(),
});

export const ListAgentRuntimeEndpointsQuery = z.object({
  ...paging,
  endpointName: z.string().optional(),
  searchMode: SearchMode.optional(),
});

export const ListAgentRuntimeVersionsQuery = z.object(paging);

export const GetAgentRuntimeQuery = z.object({
  /** A version number or `LATEST`: the snapshot of that version. Absent: the desired configuration. */
  agentRuntimeVersion: z.string().optional(),
});

export type ListAgentRuntimesQuery = z.infer<typeof ListAgentRuntimesQuery>;
export type ListAgentRuntimeEndpointsQuery = z.infer<typeof ListAgentRuntimeEndpointsQuery>;
export type ListAgentRuntimeVersionsQuery = z.infer<typeof ListAgentRuntimeVersionsQuery>;

/** What a caller passes for a list: the same parameters before they are strings. */
export interface PageInput {
  pageNumber?: number;
  pageSize?: number;
}
export interface AgentRuntimeListInput extends PageInput {
  agentRuntimeName?: string;
  searchMode?: 'exact' | 'fuzzy';
  /** One status, or several joined by commas. */
  status?: string;
  systemTags?: string;
  workspaceId?: string;
  workspaceIds?: string;
}
export interface AgentRuntimeEndpointListInput extends PageInput {
  endpointName?: string;
  searchMode?: 'exact' | 'fuzzy';
}
export type AgentRuntimeVersionListInput = PageInput;

/** The `data` of every list. */
export interface Page<T> {
  items: T[];
  total: number;
  pageNumber: number;
  pageSize: number;
}
