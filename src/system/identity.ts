/**
 * Acting as somebody else, for a moment, on the file system: the kernel itself then says what they may do.
 * setfsuid(2) changes one thread only and drops CAP_DAC_* and their like from its effective set while the fsuid is
 * not 0, as file servers use it. The libc wrapper of setgroups would change every thread; the raw call does not.
 */
import { ptr } from "bun:ffi";
import { CedanaError } from "../errors.ts";
import { type Identity, ownIdentity } from "./caller.ts";
import { check, libc } from "./libc.ts";

const arm = process.arch === "arm64";
const SYS_setfsuid = arm ? 151 : 122;
const SYS_setfsgid = arm ? 152 : 123;
const SYS_setgroups = arm ? 159 : 116;

function setGroups(groups: number[]): void {
  const list = new Uint32Array(groups.length === 0 ? [0] : groups);
  check("setgroups", libc.syscall(SYS_setgroups, groups.length, ptr(list), 0, 0, 0));
}

function setFsIds(uid: number, gid: number): void {
  libc.syscall(SYS_setfsgid, gid, 0, 0, 0, 0);
  libc.syscall(SYS_setfsuid, uid, 0, 0, 0, 0);
  // setfsuid reports no failure: asking again with an impossible id answers what is in force now (setfsuid(2)).
  const now = Number(libc.syscall(SYS_setfsuid, -1, 0, 0, 0, 0));
  if (now !== uid)
    throw new CedanaError({ reason: "PERMISSION_DENIED", message: `cannot act as uid ${uid}` });
}

/**
 * Runs `work` with the file-system rights of `identity`. `work` must be synchronous: the rights are this thread's,
 * and an await would give them to whatever runs next.
 */
export function actAs<T>(identity: Identity, work: () => T extends Promise<unknown> ? never : T): T {
  const own = ownIdentity();
  if (identity.uid === own.uid) return work();
  if (own.uid !== 0)
    throw new CedanaError({ reason: "PERMISSION_DENIED", message: `cannot act as uid ${identity.uid}` });
  setGroups(identity.groups);
  try {
    setFsIds(identity.uid, identity.gid);
    return work();
  } finally {
    setFsIds(own.uid, own.gid);
    setGroups(own.groups);
  }
}
