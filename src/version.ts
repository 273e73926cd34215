/** What this binary is. The build defines the names; a run from the sources has none of them. */
declare const CEDANA_VERSION: string;
declare const CEDANA_COMMIT: string;

export function versionLine(): string {
  const version = typeof CEDANA_VERSION === "undefined" ? "development" : CEDANA_VERSION;
  const commit = typeof CEDANA_COMMIT === "undefined" ? "unknown" : CEDANA_COMMIT;
  return `cedana ${version} (commit ${commit}, Bun ${Bun.version})`;
}
