/** What requests say of containers → what the engine is asked, every field checked on the way. */
import type { ContainerChoices, ContainerDumpChoices, ContainerRef } from "../engine/api.ts";
import type { ContainerDump, ContainerOptions } from "../gen/cedana/daemon/v1/daemon_pb.ts";
import type { Container } from "../gen/cedana/daemon/v1/job_pb.ts";
import * as is from "./validate.ts";

const types = ["runc", "containerd"] as const;

export function containerRef(message: Container, field: string): ContainerRef {
  return { ...located(message, field), id: is.containerId(`${field}.id`, message.id) };
}

/** One container, or with no id all those of its root. */
export function containersRef(message: Container, field: string): ContainerRef {
  return message.id === "" ? { ...located(message, field), id: "" } : containerRef(message, field);
}

/** All but the id. Where the container is, its runtime knows its bundle best. */
function located(message: Container, field: string): Omit<ContainerRef, "id"> {
  const type = is.oneOf(`${field}.type`, message.type, types);
  return { type, ...placed(message, type, field) };
}

function placed({ root, bundle, namespace, address }: Container, type: string, field: string) {
  for (const [name, value, of] of [
    ["root", root, "runc"],
    ["bundle", bundle, "runc"],
    ["namespace", namespace, "containerd"],
    ["address", address, "containerd"],
  ] as const)
    if (value !== "" && type !== "" && type !== of)
      throw is.invalid(`${field}.${name}`, `goes with type ${of}`);
  is.optional(bundle, (path) => is.absolutePath(`${field}.bundle`, path));
  return {
    root: is.optional(root, (path) => is.absolutePath(`${field}.root`, path)),
    namespace: is.optional(namespace, (name) => is.containerId(`${field}.namespace`, name)),
    address: is.optional(address, (path) => is.absolutePath(`${field}.address`, path)),
  };
}

export function containerChoices(
  options: ContainerOptions | undefined,
  field = "container",
): ContainerChoices | undefined {
  if (options === undefined) return undefined;
  const { container, noPivot, noNewKeyring, systemdCgroup, image, snapshotter, rootfs } = options;
  const { consoleSocket, rootless, netns } = options;
  return {
    ...chosen(container, `${field}.container`),
    ...{ noPivot, noNewKeyring, systemdCgroup },
    consoleSocket: is.optional(consoleSocket, (path) => is.absolutePath(`${field}.console_socket`, path)),
    rootless: is.optional(rootless, (word) => is.oneOf(`${field}.rootless`, word, ["auto", "true", "false"])),
    netns: is.optional(netns, (path) => is.absolutePath(`${field}.netns`, path)),
    image: is.optional(image, (name) => is.text(`${field}.image`, name)),
    snapshotter: is.optional(snapshotter, (name) => is.containerId(`${field}.snapshotter`, name)),
    rootfs: is.optional(rootfs, (path) => is.absolutePath(`${field}.rootfs`, path)),
  };
}

export function containerDump(asked: ContainerDump | undefined): ContainerDumpChoices | undefined {
  if (asked === undefined) return undefined;
  const { rootfs, image, rootfsOnly } = asked;
  return { rootfs, rootfsOnly, image: is.optional(image, (name) => is.text("container.image", name)) };
}

function chosen(container: Container | undefined, field: string): Partial<ContainerChoices> {
  if (container === undefined) return {};
  // "": as that of the job or checkpoint.
  const type = is.optional(container.type, (word) => is.oneOf(`${field}.type`, word, types));
  return {
    ...{ type, ...placed(container, container.type, field) },
    id: is.optional(container.id, (id) => is.containerId(`${field}.id`, id)),
    bundle: is.optional(container.bundle, (path) => is.absolutePath(`${field}.bundle`, path)),
  };
}
