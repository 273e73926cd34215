/** From an image's name to what runs on this host: index → manifest of our platform → configuration and layers. */
import { CedanaError } from "../errors.ts";
import { isObject, type Json, listIn, objectIn, textIn, textsIn } from "../system/json.ts";
import type { Containerd } from "./connect.ts";
import { readJsonBlob } from "./content.ts";
import type { Descriptor } from "./descriptor.ts";
import { getImage, type Image } from "./images.ts";
import { isIndex, isManifest } from "./media_types.ts";

export interface ResolvedImage extends Image {
  manifest: Descriptor;
  config: Descriptor;
  /** The configuration's JSON, as it is. */
  configJson: Json;
  /** Bottom first. */
  layers: Layer[];
}

export interface Layer {
  blob: Descriptor;
  /** Digest of its plain tar. */
  diffId: string;
}

const architectures = new Map([
  ["x64", "amd64"],
  ["arm64", "arm64"],
]);
export const architecture = architectures.get(process.arch) ?? process.arch;

/** An index may hold indexes; nobody nests them deeper. */
const MAX_DEPTH = 4;

/** Throws IMAGE_NOT_FOUND, also when parts of the image that this host needs are missing. */
export async function resolveImage(containerd: Containerd, name: string): Promise<ResolvedImage> {
  const image = await getImage(containerd, name);
  let target = image.target;
  let manifest = await part(containerd, image, target);
  for (let depth = 0; isIndex(typeOf(target, manifest)); depth++) {
    const next = listIn(manifest, "manifests").map(platformOf).sort(byFit)[0];
    if (next === undefined || next.fit === 0 || depth === MAX_DEPTH) throw noPlatform(image);
    target = next.descriptor;
    manifest = await part(containerd, image, target);
  }
  if (!isManifest(typeOf(target, manifest))) throw broken(image, `it is of type ${typeOf(target, manifest)}`);
  const config = descriptorIn(manifest.config);
  if (config === undefined) throw broken(image, "its manifest names no configuration");
  const configJson = await part(containerd, image, config);
  const builtFor = textIn(configJson, "architecture") ?? architecture;
  if (builtFor !== architecture) throw noPlatform(image);
  return { ...image, manifest: target, config, configJson, layers: layersOf(image, manifest, configJson) };
}

async function part(containerd: Containerd, image: Image, { digest }: Descriptor): Promise<Json> {
  const json = await readJsonBlob(containerd, digest);
  if (json !== undefined) return json;
  throw broken(image, `its part ${digest} is missing or no JSON`);
}

function layersOf(image: Image, manifest: Json, configJson: Json): Layer[] {
  const blobs = listIn(manifest, "layers").map(descriptorIn);
  const diffIds = textsIn(objectIn(configJson, "rootfs"), "diff_ids");
  if (blobs.length !== diffIds.length)
    throw broken(image, "its manifest and configuration tell other layers");
  return diffIds.map((diffId, at) => {
    const blob = blobs[at];
    if (blob === undefined) throw broken(image, `layer ${at + 1} of its manifest is malformed`);
    return { blob, diffId };
  });
}

function descriptorIn(value: unknown): Descriptor | undefined {
  if (!isObject(value)) return undefined;
  const [mediaType, digest, size] = [textIn(value, "mediaType"), textIn(value, "digest"), value.size];
  if (mediaType === undefined || digest === undefined || typeof size !== "number") return undefined;
  return Number.isSafeInteger(size) && size >= 0 ? { mediaType, digest, size } : undefined;
}

/** `fit`: 2 for our platform, 1 when nothing is said of it, 0 for another. */
function platformOf(value: unknown): { descriptor: Descriptor; fit: number } {
  const descriptor = descriptorIn(value);
  if (descriptor === undefined || !isObject(value))
    return { descriptor: { mediaType: "", digest: "", size: 0 }, fit: 0 };
  if (!isObject(value.platform)) return { descriptor, fit: 1 };
  const { os, architecture: built } = value.platform;
  return { descriptor, fit: os === "linux" && built === architecture ? 2 : 0 };
}

function byFit(one: { fit: number }, other: { fit: number }): number {
  return other.fit - one.fit;
}

/** Of old, a manifest did not always say in its descriptor what it is. */
function typeOf({ mediaType }: Descriptor, json: Json): string {
  return isIndex(mediaType) || isManifest(mediaType) ? mediaType : (textIn(json, "mediaType") ?? mediaType);
}

function noPlatform(image: Image): CedanaError {
  return new CedanaError({
    reason: "IMAGE_NOT_FOUND",
    message: `the image ${image.name} has nothing for linux/${architecture}`,
    hint: `pull it for this host: ctr images pull --platform linux/${architecture} ${image.name}`,
  });
}

function broken(image: Image, why: string): CedanaError {
  return new CedanaError({
    reason: "IMAGE_NOT_FOUND",
    message: `the image ${image.name} cannot be used: ${why}`,
    hint: `pull it again: ctr images pull ${image.name}`,
  });
}
