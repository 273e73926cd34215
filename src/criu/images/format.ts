/**
 * The image files we read and the word each starts with (CRIU 4.2: criu/include/magic.h, criu/image-desc.c).
 *
 *   u32 common magic | u32 magic of the type | u32 size, record | u32 size, record | …
 *
 * All little-endian; a record is one protobuf message. The inventory alone lacks the common word: it is what says
 * that the others have it.
 */

/** By what the image holds. */
export const magic = {
  inventory: 0x58313116,
  pstree: 0x50273030,
  core: 0x55053847,
  ids: 0x54432030,
  fs: 0x51403912,
  mm: 0x57492820,
  pagemap: 0x56084025,
  fdinfo: 0x56213732,
  files: 0x56303138,
  memfd: 0x48453499,
  ttyInfo: 0x59453036,
  remapPath: 0x59133954,
  pipesData: 0x56453709,
  stats: 0x57093306,
  netns: 0x55933752,
  userns: 0x55474906,
} as const;

/** The words that an image starts with. */
export function headOf(image: Image): number[] {
  if (image.magic === magic.inventory) return [image.magic];
  // IMG_SERVICE_MAGIC and IMG_COMMON_MAGIC.
  return [image.magic === magic.stats ? 0x55105940 : 0x54564319, image.magic];
}

/** One image file of a checkpoint. */
export interface Image {
  /** Folder of the images. */
  dir: string;
  /** File name in it. */
  name: string;
  magic: number;
}

/**
 * CRIU writes memory in pages of 4 KiB on the architectures and kernels we run on (linux.md); the images do not say.
 */
export const pageSize = 4096;
