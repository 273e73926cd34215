/**
 * What a runtime tells of its insides in a verbose answer. The CRI leaves its form open; containerd and CRI-O both put an
 * object with these two fields under "info".
 */
export interface CriInfo {
  /** Of init; 0 when it does not run, or the runtime does not tell. */
  pid: number;
  /** The OCI spec that it was started with, unchecked; undefined when the runtime does not tell. */
  runtimeSpec: unknown;
}

export function parseInfo(info: Readonly<Record<string, string>>): CriInfo {
  const value = parse(info.info ?? "");
  const pid = "pid" in value && Number.isSafeInteger(value.pid) ? Number(value.pid) : 0;
  return { pid: Math.max(pid, 0), runtimeSpec: "runtimeSpec" in value ? value.runtimeSpec : undefined };
}

function parse(text: string): object {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? value : {};
  } catch {
    // Not of that form: another runtime, which does not tell.
    return {};
  }
}
