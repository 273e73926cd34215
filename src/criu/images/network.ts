/** The network namespace of a container among its images. */
import { networkKey } from "../options.ts";
import { headOf, magic } from "./format.ts";
import { readIds } from "./ids.ts";
import { readProcessTree } from "./process_tree.ts";

/** Field 8, ext_key, of CRIU's images/netdev.proto (netns_entry), of wire type 2. */
const keyTag = 0x42;

/**
 * The image by which CRIU puts the root of the checkpoint in `dir` into a network namespace that it is given, in place of
 * making a new one: as it would have been dumped with `--external net[…]:extRootNetNS`. Throws CHECKPOINT_CORRUPT.
 */
export async function externalNetwork(dir: string): Promise<{ name: string; image: Buffer }> {
  const [root] = await readProcessTree(dir);
  const { netNsId } = await readIds(dir, root?.pid ?? 0);
  const name = `netns-${netNsId}.img`;
  const record = Buffer.from([keyTag, networkKey.length, ...Buffer.from(networkKey)]);
  const words = [...headOf({ dir, name, magic: magic.netns }), record.length];
  const head = Buffer.alloc(4 * words.length);
  for (const [index, word] of words.entries()) head.writeUInt32LE(word, 4 * index);
  return { name, image: Buffer.concat([head, record]) };
}
