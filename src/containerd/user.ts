/** An image's user, which may be a name that only the image itself knows, as the ids that the kernel knows. */
import { CedanaError } from "../errors.ts";
import { readRootfsFile } from "./rootfs_file.ts";
import type { Mount } from "./snapshots.ts";
import type { UserIds } from "./spec.ts";

/** The texts of the image's /etc/passwd and /etc/group; undefined where it has none. */
export interface AccountFiles {
  passwd: string | undefined;
  group: string | undefined;
}

/**
 * "user", "uid", "user:group", "uid:gid" or "" for root. A uid need not be in /etc/passwd, a name must. The user is in
 * every group that lists them, and always in their own (CVE-2023-25173). Throws INVALID_ARGUMENT.
 */
export function resolveUser(user: string, files: AccountFiles): UserIds {
  const [wanted = "", wantedGroup] = (user === "" ? "0" : user).split(":", 2);
  const accounts = lines(files.passwd).map(([name, , uid, gid]) => ({ name, uid: id(uid), gid: id(gid) }));
  const groups = lines(files.group).map(([name, , gid, members = ""]) => ({
    name,
    gid: id(gid),
    members: members.split(","),
  }));
  const number = id(wanted);
  const account = accounts.find(({ name, uid }) => (number === undefined ? name === wanted : uid === number));
  const uid = account?.uid ?? number;
  if (uid === undefined) throw unknown("user", wanted, "/etc/passwd");
  let gid = account?.gid ?? 0;
  if (wantedGroup !== undefined) {
    const found = id(wantedGroup) ?? groups.find(({ name }) => name === wantedGroup)?.gid;
    if (found === undefined) throw unknown("group", wantedGroup, "/etc/group");
    gid = found;
  }
  const further = groups.flatMap(({ name, gid: each, members }) => {
    const member = account?.name !== undefined && name !== account.name && members.includes(account.name);
    return member && each !== undefined ? [each] : [];
  });
  return { uid, gid, additionalGids: further.includes(gid) ? further : [gid, ...further] };
}

/** The same, for a snapshot's own files. */
export function userIn(mounts: readonly Mount[], user: string): UserIds {
  const [passwd, group] = ["/etc/passwd", "/etc/group"].map((path) => readRootfsFile(mounts, path));
  return resolveUser(user, { passwd, group });
}

function lines(text = ""): string[][] {
  return text.split("\n").map((line) => line.trim().split(":"));
}

/** Ids have 32 bits, of which the kernel keeps the last for "none". */
function id(text = ""): number | undefined {
  if (!/^\d{1,10}$/.test(text)) return undefined;
  const number = Number(text);
  return number < 0xffffffff ? number : undefined;
}

function unknown(what: string, name: string, file: string): CedanaError {
  return new CedanaError({
    reason: "INVALID_ARGUMENT",
    message: `the image wants to run as the ${what} "${name}", which its ${file} does not have`,
  });
}
