/** Who asks: what the kernel says of the connection (or of this process, without a daemon). */
export interface Identity {
  uid: number;
  gid: number;
  /** Supplementary groups. */
  groups: number[];
}

/** The identity of this very process. */
export function ownIdentity(): Identity {
  return {
    uid: process.geteuid?.() ?? 0,
    gid: process.getegid?.() ?? 0,
    groups: process.getgroups?.() ?? [],
  };
}
