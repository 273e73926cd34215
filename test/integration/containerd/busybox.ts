/**
 * A busybox image of two layers, put together by hand: the first, gzipped, is the program with its names and a file that
 * the second, a plain tar, takes away again.
 */
import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { type Descriptor, descriptorOf } from "../../../src/containerd/descriptor.ts";
import { digestOf } from "../../../src/containerd/digest.ts";
import {
  OCI_CONFIG,
  OCI_INDEX,
  OCI_LAYER,
  OCI_LAYER_GZIP,
  OCI_MANIFEST,
} from "../../../src/containerd/media_types.ts";
import { architecture } from "../../../src/containerd/resolve_image.ts";
import { type Entry, tarOf } from "./tar.ts";

export interface BuiltImage {
  index: Descriptor;
  blobs: { descriptor: Descriptor; bytes: Uint8Array; references: Descriptor[] }[];
}

/** Debian's busybox-static. */
const program = "/bin/busybox";

const commands = (
  "sh ls cat echo sleep id ps mkdir rm touch head true false test kill env pwd stty tty dd date " +
  "hostname ip wc grep"
).split(" ");

export function busyboxImage(options: { cmd?: string[]; user?: string } = {}): BuiltImage {
  const folders = ["bin", "etc", "tmp", "proc", "dev", "sys", "run", "root", "srv"];
  const lower = tarOf([
    ...folders.map((path): Entry => ({ path: `${path}/`, type: "folder" })),
    { path: "bin/busybox", type: "file", bytes: readFileSync(program), mode: 0o755 },
    ...commands.map((name): Entry => ({ path: `bin/${name}`, type: "link", target: "busybox" })),
    { path: "srv/lower", type: "file", bytes: "lower\n" },
    { path: "srv/gone", type: "file", bytes: "gone\n" },
  ]);
  const upper = tarOf([
    {
      path: "etc/passwd",
      type: "file",
      bytes: "root:x:0:0:root:/root:/bin/sh\nweb:x:1000:1000::/srv:/bin/sh\n",
    },
    { path: "etc/group", type: "file", bytes: "root:x:0:\nweb:x:1000:\nlogs:x:1500:web\n" },
    { path: "srv/upper", type: "file", bytes: "upper\n" },
    { path: "srv/.wh.gone", type: "file", bytes: "" },
  ]);
  const layers = [
    { mediaType: OCI_LAYER_GZIP, bytes: gzipSync(lower, { level: 1 }) },
    { mediaType: OCI_LAYER, bytes: upper },
  ].map(({ mediaType, bytes }) => blob(mediaType, bytes));
  const config = jsonBlob(OCI_CONFIG, {
    architecture,
    os: "linux",
    config: {
      Env: ["PATH=/bin", "FROM=image"],
      Cmd: options.cmd ?? ["sh"],
      WorkingDir: "/srv",
      User: options.user,
    },
    rootfs: { type: "layers", diff_ids: [digestOf(lower), digestOf(upper)] },
    history: [{ created_by: "test" }, { created_by: "test" }],
  });
  const parts = [config, ...layers].map(({ descriptor }) => descriptor);
  const manifest = jsonBlob(
    OCI_MANIFEST,
    { schemaVersion: 2, mediaType: OCI_MANIFEST, config: parts[0], layers: parts.slice(1) },
    parts,
  );
  const other = {
    ...manifest.descriptor,
    digest: digestOf("nothing"),
    platform: { os: "linux", architecture: "s390x" },
  };
  const ours = { ...manifest.descriptor, platform: { os: "linux", architecture } };
  const index = jsonBlob(OCI_INDEX, { schemaVersion: 2, mediaType: OCI_INDEX, manifests: [other, ours] }, [
    manifest.descriptor,
  ]);
  return { index: index.descriptor, blobs: [...layers, config, manifest, index] };
}

/** The image as `ctr images import` and others take it: an OCI layout as a tar. */
export function ociLayout({ blobs, index }: BuiltImage, name: string): Uint8Array {
  const manifests = [{ ...index, annotations: { "io.containerd.image.name": name } }];
  return tarOf([
    { path: "oci-layout", type: "file", bytes: JSON.stringify({ imageLayoutVersion: "1.0.0" }) },
    { path: "index.json", type: "file", bytes: JSON.stringify({ schemaVersion: 2, manifests }) },
    ...blobs.map(({ descriptor, bytes }): Entry => {
      return { path: `blobs/${descriptor.digest.replace(":", "/")}`, type: "file", bytes };
    }),
  ]);
}

function blob(
  mediaType: string,
  bytes: Uint8Array,
  references: Descriptor[] = [],
): BuiltImage["blobs"][number] {
  return { descriptor: descriptorOf(mediaType, bytes), bytes, references };
}

function jsonBlob(mediaType: string, value: unknown, references?: Descriptor[]): BuiltImage["blobs"][number] {
  return blob(mediaType, Buffer.from(JSON.stringify(value)), references);
}
