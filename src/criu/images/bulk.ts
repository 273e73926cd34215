/**
 * Whether an image may be as large as memory or files are: pages, the content of unlinked files and of tmpfs. All
 * others describe, and are small.
 */
export function isBulk(name: string): boolean {
  return /^(pages|ghost-file|tmpfs|tmpfs-dev|iptables|memfd)-/.test(name);
}
