/** What requests say of containers → what the engine is asked, every field checked on the way. */
import type { ContainerChoices, ContainerRef } from "../engine/api.ts";
import type { ContainerOptions } from "../gen/cedana/daemon/v1/daemon_pb.ts";
import type { Container } from "../gen/cedana/daemon/v1/job_pb.ts";
import * as is from "./validate.ts";

const types = ["runc"] as const;

export function containerRef(message: Container, field: string): ContainerRef {
  return { ...located(message, field), id: is.containerId(`${field}.id`, message.id) };
}

/** One container, or with no id all those of its root. */
export function containersRef(message: Container, field: string): ContainerRef {
  return message.id === "" ? { ...located(message, field), id: "" } : containerRef(message, field);
}

/** All but the id. Where the container is, its runtime knows its bundle best. */
function located({ type, root, bundle }: Container, field: string): Omit<ContainerRef, "id"> {
  is.optional(bundle, (path) => is.absolutePath(`${field}.bundle`, path));
  return {
    type: is.oneOf(`${field}.type`, type, types),
    root: is.optional(root, (path) => is.absolutePath(`${field}.root`, path)),
  };
}

export function containerChoices(
  options: ContainerOptions | undefined,
  field = "container",
): ContainerChoices | undefined {
  if (options === undefined) return undefined;
  const { container, noPivot, noNewKeyring, systemdCgroup } = options;
  return { ...chosen(container, `${field}.container`), noPivot, noNewKeyring, systemdCgroup };
}

function chosen(
  container: Container | undefined,
  field: string,
): Pick<ContainerChoices, "id" | "root" | "bundle"> {
  if (container === undefined) return {};
  is.oneOf(`${field}.type`, container.type, types);
  return {
    id: is.optional(container.id, (id) => is.containerId(`${field}.id`, id)),
    root: is.optional(container.root, (path) => is.absolutePath(`${field}.root`, path)),
    bundle: is.optional(container.bundle, (path) => is.absolutePath(`${field}.bundle`, path)),
  };
}
