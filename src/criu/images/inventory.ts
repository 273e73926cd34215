import { CedanaError } from "../../errors.ts";
import { InventorySchema, type KernelObjectIds } from "../../gen/cedana/criu/v1/images_pb.ts";
import { corruptImage } from "./corrupt.ts";
import { type Image, magic } from "./format.ts";
import { readOneRecord } from "./records.ts";

/** CRTOOLS_IMAGES_V1_1. Version 1 has no common magic word, and no CRIU that we accept writes it. */
const imageVersion = 2;

/** What inventory.img says of the whole checkpoint. CRIU writes it last, so without it the dump did not end. */
export interface Inventory {
  imageVersion: number;
  /** Namespaces of the root process: the images' own numbers, not inodes. */
  rootIds: KernelObjectIds | undefined;
  /** Names the dump; "" from a CRIU that names none. */
  runId: string;
  /** The restore must be given --tcp-close. */
  tcpClose: boolean;
  /** The restore must be given --allow-uprobes. */
  allowUprobes: boolean;
}

/** Throws CHECKPOINT_CORRUPT, or CHECKPOINT_INCOMPATIBLE for images of another version. */
export async function readInventory(dir: string): Promise<Inventory> {
  const image: Image = { dir, name: "inventory.img", magic: magic.inventory };
  const record = await readOneRecord(image, InventorySchema);
  if (record === undefined) throw corruptImage(image, "is missing: the dump was not finished");
  if (record.imgVersion !== imageVersion) {
    throw new CedanaError({
      reason: "CHECKPOINT_INCOMPATIBLE",
      message: `The checkpoint has images of version ${record.imgVersion}; this program reads version ${imageVersion}`,
      hint: "Restore it with the CRIU that made it",
    });
  }
  return {
    imageVersion: record.imgVersion,
    rootIds: record.rootIds,
    runId: record.dumpCriuRunId,
    tcpClose: record.tcpClose,
    allowUprobes: record.allowUprobes,
  };
}
