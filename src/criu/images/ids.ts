import { type KernelObjectIds, KernelObjectIdsSchema } from "../../gen/cedana/criu/v1/images_pb.ts";
import { corruptImage } from "./corrupt.ts";
import { type Image, magic } from "./format.ts";
import { readOneRecord } from "./records.ts";

/** What a process shares with others, by the images' own numbers. Throws CHECKPOINT_CORRUPT. */
export async function readIds(dir: string, pid: number): Promise<KernelObjectIds> {
  const image: Image = { dir, name: `ids-${pid}.img`, magic: magic.ids };
  const ids = await readOneRecord(image, KernelObjectIdsSchema);
  if (ids === undefined) throw corruptImage(image, "is missing");
  return ids;
}
