/** Version numbers of programs. */
export type Version = readonly [number, number, number];

/** "4.2.1", also as a package's "1:4.2.1-2"; a missing last number is 0. */
export function parseVersion(text: string): Version | undefined {
  const match = /^(?:\d+:)?(\d+)\.(\d+)(?:\.(\d+))?/.exec(text);
  if (!match) return undefined;
  return [Number(match[1]), Number(match[2]), Number(match[3] ?? 0)];
}

/** Negative when `a` is older than `b`. */
export function compareVersions(a: Version, b: Version): number {
  return a[0] - b[0] || a[1] - b[1] || a[2] - b[2];
}
