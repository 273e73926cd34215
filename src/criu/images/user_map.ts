import { readdirSync } from "node:fs";
import { type IdRange, UserNamespaceSchema } from "../../gen/cedana/criu/v1/images_pb.ts";
import { magic } from "./format.ts";
import { readOneRecord } from "./records.ts";

/**
 * Who the root of a container with a user namespace of its own is on the host; undefined for one that has the host's
 * users. CRIU opens most images as that user. Throws CHECKPOINT_CORRUPT.
 */
export async function rootInside(dir: string): Promise<{ uid: number; gid: number } | undefined> {
  const name = readdirSync(dir).find((each) => /^userns-\d+\.img$/.test(each));
  if (name === undefined) return undefined;
  const namespace = await readOneRecord({ dir, name, magic: magic.userns }, UserNamespaceSchema);
  const [uid, gid] = [outside(namespace?.uidMap), outside(namespace?.gidMap)];
  return uid === undefined || gid === undefined ? undefined : { uid, gid };
}

function outside(map: IdRange[] = []): number | undefined {
  return map.find(({ inner }) => inner === 0)?.outer;
}
