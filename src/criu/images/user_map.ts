import { readdirSync } from "node:fs";
import { UserNamespaceSchema } from "../../gen/cedana/criu/v1/images_pb.ts";
import { magic } from "./format.ts";
import { readOneRecord } from "./records.ts";

/**
 * The host's uid of the root of a container with a user namespace of its own; undefined for one that has the host's users.
 * CRIU opens most images as that user. Throws CHECKPOINT_CORRUPT.
 */
export async function rootInside(dir: string): Promise<number | undefined> {
  const name = readdirSync(dir).find((each) => /^userns-\d+\.img$/.test(each));
  if (name === undefined) return undefined;
  const namespace = await readOneRecord({ dir, name, magic: magic.userns }, UserNamespaceSchema);
  return namespace?.uidMap.find(({ inner }) => inner === 0)?.outer;
}
