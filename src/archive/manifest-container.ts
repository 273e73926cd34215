/** What a manifest says of a container. */
import type { Fields } from "../system/fields.ts";
import { MANIFEST_LIMIT } from "./names.ts";

/** containerd bounds a label to 4 KiB, and not how many there are. */
const LABELS_LIMIT = 1024;

/** The container that was dumped. */
export interface ManifestContainer {
  id: string;
  /** runc's --root. */
  root: string;
  bundle: string;
  /** What init's first three fds were, as `runc restore` wants them in descriptors.json. */
  descriptors: string[];
  /** It has a terminal that came to somebody over a console socket. */
  console: boolean;
  /** Where cgroups of version 1 are mounted in it that are its own. */
  groups?: string[];
  containerd?: ManifestContainerd;
  /** runc: its config.json, where it could be read. */
  spec?: string;
  /** runc: the path of its cgroup that runc was given, where it was given one; under another id not that of its config.json. */
  cgroupsPath?: string;
  /** runc: what of its root file system is among the files (`dump --rootfs`). */
  layer?: (typeof layers)[number];
}

const layers = ["whole", "overlay"] as const;

/** What containerd must know of a container, to have it again where it has it no more. */
export interface ManifestContainerd {
  namespace: string;
  /** "" for one whose root is a folder. */
  image: string;
  snapshotter: string;
  runtime: string;
  labels: Record<string, string>;
  /** OCI's runtime specification, as JSON. */
  spec: string;
}

export function parseContainer(fields: Fields): ManifestContainer {
  return {
    id: fields.string("id", 255),
    root: fields.string("root"),
    bundle: fields.string("bundle"),
    descriptors: fields.strings("descriptors", 3),
    console: fields.boolean("console"),
    ...(fields.has("groups") && { groups: fields.strings("groups", 64) }),
    ...(fields.has("spec") && { spec: fields.string("spec", MANIFEST_LIMIT) }),
    ...(fields.has("cgroupsPath") && { cgroupsPath: fields.string("cgroupsPath") }),
    ...(fields.has("layer") && { layer: fields.oneOf("layer", layers) }),
    ...(fields.has("containerd") && { containerd: parseContainerd(fields.object("containerd")) }),
  };
}

function parseContainerd(fields: Fields): ManifestContainerd {
  return {
    namespace: fields.string("namespace", 255),
    image: fields.string("image"),
    snapshotter: fields.string("snapshotter", 255),
    runtime: fields.string("runtime", 255),
    labels: Object.fromEntries(fields.texts("labels", LABELS_LIMIT)),
    spec: fields.string("spec", MANIFEST_LIMIT),
  };
}
