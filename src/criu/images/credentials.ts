import type { Credentials } from "../../gen/cedana/criu/v1/images_pb.ts";
import { coreImage, readCore, taskState } from "./core.ts";
import { corruptImage } from "./corrupt.ts";
import type { Image } from "./format.ts";
import { readProcessTree } from "./process_tree.ts";

/** Sets of capabilities as bit masks: bit n is capability n. */
export interface CapabilitySets {
  inheritable: bigint;
  permitted: bigint;
  effective: bigint;
  bounding: bigint;
  ambient: bigint;
}

export interface UserIds {
  real: number;
  effective: number;
  saved: number;
  filesystem: number;
}

/** What one thread of a checkpoint will be allowed to do when it is restored. */
export interface ThreadCredentials {
  pid: number;
  tid: number;
  uids: UserIds;
  gids: UserIds;
  /** Supplementary groups. */
  groups: number[];
  capabilities: CapabilitySets;
  /** SECBIT_* flags. */
  secureBits: number;
  noNewPrivileges: boolean;
}

/**
 * The credentials of every thread, not only of every process: Linux keeps them by thread, and a checkpoint of a
 * caller's making could hide a privileged one among the others. Zombies have none and are left out.
 */
export async function readCredentials(dir: string): Promise<ThreadCredentials[]> {
  const all: ThreadCredentials[] = [];
  for (const { pid, threads } of await readProcessTree(dir)) {
    const image = coreImage(dir, pid);
    const main = await readCore(dir, pid);
    if (taskState(image, main).state === "zombie") continue;
    all.push(describe(image, pid, pid, main.threadCore?.creds));
    for (const tid of threads) {
      if (tid === pid) continue;
      const core = await readCore(dir, tid);
      all.push(describe(coreImage(dir, tid), pid, tid, core.threadCore?.creds));
    }
  }
  return all;
}

function describe(image: Image, pid: number, tid: number, creds: Credentials | undefined): ThreadCredentials {
  if (creds === undefined) throw corruptImage(image, "holds no credentials");
  const { uid, euid, suid, fsuid, gid, egid, sgid, fsgid } = creds;
  return {
    pid,
    tid,
    uids: { real: uid, effective: euid, saved: suid, filesystem: fsuid },
    gids: { real: gid, effective: egid, saved: sgid, filesystem: fsgid },
    groups: creds.groups,
    capabilities: {
      inheritable: mask(image, creds.capInh),
      permitted: mask(image, creds.capPrm),
      effective: mask(image, creds.capEff),
      bounding: mask(image, creds.capBnd),
      ambient: mask(image, creds.capAmb),
    },
    secureBits: creds.secbits,
    noNewPrivileges: creds.noNewPrivs !== 0,
  };
}

function mask(image: Image, words: number[]): bigint {
  if (words.length > 2) throw corruptImage(image, "holds more capabilities than there are");
  return words.reduce((bits, word, index) => bits | (BigInt(word) << BigInt(32 * index)), 0n);
}
