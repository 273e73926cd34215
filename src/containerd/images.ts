/** containerd's images: a name for a manifest, or for an index of manifests, in the content store. */
import { Code } from "@connectrpc/connect";
import { CedanaError } from "../errors.ts";
import type { Image as Message } from "../gen/containerd/services/images_pb.ts";
import type { Containerd } from "./connect.ts";
import { type Descriptor, fromMessage, toMessage } from "./descriptor.ts";
import { codeOf, during, ifFound } from "./failure.ts";
import { wholeImageName } from "./image_name.ts";

export interface Image {
  name: string;
  target: Descriptor;
  labels: Record<string, string>;
}

/** By its name in containerd or as docker would write it; undefined when there is none. */
export async function findImage(containerd: Containerd, name: string): Promise<Image | undefined> {
  // Names in containerd are free text: "busybox" may be one.
  for (const each of new Set([name, wholeImageName(name)])) {
    const call = containerd.services.images.get({ name: each });
    const answer = await during(containerd, `look up the image ${each}`, ifFound(call));
    if (answer?.image !== undefined) return plain(answer.image);
  }
  return undefined;
}

/** Throws IMAGE_NOT_FOUND. */
export async function getImage(containerd: Containerd, name: string): Promise<Image> {
  const image = await findImage(containerd, name);
  if (image !== undefined) return image;
  const { namespace } = containerd;
  const whole = wholeImageName(name);
  const ctr = namespace === "default" ? "ctr" : `ctr --namespace ${namespace}`;
  throw new CedanaError({
    reason: "IMAGE_NOT_FOUND",
    message: `containerd has no image ${whole} in its namespace ${namespace}`,
    hint: `pull it with: ${ctr} images pull ${whole}`,
  });
}

export async function listImages(containerd: Containerd): Promise<Image[]> {
  const { images } = await during(
    containerd,
    "list containerd's images",
    containerd.services.images.list({}),
  );
  return images.map(plain);
}

/** Throws IMAGE_EXISTS. */
export async function createImage(
  containerd: Containerd,
  { name, target, labels = {} }: { name: string; target: Descriptor; labels?: Record<string, string> },
): Promise<void> {
  const call = containerd.services.images.create({ image: { name, target: toMessage(target), labels } });
  try {
    await during(containerd, `create the image ${name}`, call);
  } catch (error) {
    throw codeOf(error) === Code.AlreadyExists ? taken(containerd, name, error) : error;
  }
}

/** Throws IMAGE_EXISTS where the very name is taken. */
export async function checkFree(containerd: Containerd, name: string): Promise<void> {
  const call = containerd.services.images.get({ name });
  const answer = await during(containerd, `look up the image ${name}`, ifFound(call));
  if (answer?.image !== undefined) throw taken(containerd, name);
}

function taken({ namespace }: Containerd, name: string, cause?: unknown): CedanaError {
  return new CedanaError({
    reason: "IMAGE_EXISTS",
    message: `containerd has an image ${name} already`,
    hint: `choose another name, or delete it with: ctr --namespace ${namespace} images rm ${name}`,
    cause,
  });
}

/** Lets the name stand for something else; labels that are not named stay. */
export async function updateImage(
  containerd: Containerd,
  { name, target, labels = {} }: { name: string; target?: Descriptor; labels?: Record<string, string> },
): Promise<void> {
  const paths = Object.keys(labels).map((label) => `labels.${label}`);
  if (target !== undefined) paths.unshift("target");
  const image = { name, labels, ...(target && { target: toMessage(target) }) };
  const call = containerd.services.images.update({ image, updateMask: { paths } });
  await during(containerd, `change the image ${name}`, call);
}

/** One that is gone already is no error. `sync`: waits until its blobs and snapshots are gone as well. */
export async function deleteImage(
  containerd: Containerd,
  name: string,
  { sync = false }: { sync?: boolean } = {},
): Promise<void> {
  const call = containerd.services.images.delete({ name, sync });
  await during(containerd, `delete the image ${name}`, ifFound(call));
}

function plain({ name, target, labels }: Message): Image {
  return { name, target: fromMessage(target), labels };
}
