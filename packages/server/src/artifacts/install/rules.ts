/** Whose code may run while a deploy is prepared. */
export type AllowScripts =
  /** Nobody's. */
  | 'none'
  /** The package's own build script. */
  | 'build'
  /** That, and what dependencies run when they are installed. */
  | 'all';

/** What the operator holds installs and builds to. */
export interface InstallRules {
  allowScripts: AllowScripts;
  /** Of one install or build, on the disk. */
  diskBytes: number;
  /** Files, folders and links of one. */
  diskEntries: number;
  /** Of one at any time. */
  processes: number;
  /** What stays free on the disk, whoever wants it. */
  freeSpaceReserveBytes: number;
}
