/** Where in a bucket checkpoints live: `s3://bucket/prefix`, `gs://bucket/prefix`, and the names below it. */
import { CedanaError } from "../errors.ts";

export const schemes = ["s3", "gs"] as const;
export type Scheme = (typeof schemes)[number];

export interface Place {
  scheme: Scheme;
  bucket: string;
  /** Without a slash at either end; "" for the whole bucket. */
  prefix: string;
  /** What errors call it: "s3://bucket/prefix". */
  url: string;
}

/** Whether `text` names a place that this layer opens, well formed or not. */
export function isStorageUrl(text: string): boolean {
  return schemes.some((scheme) => text.startsWith(`${scheme}://`));
}

/** Throws INVALID_ARGUMENT that says what is wrong with it. */
export function parseStorageUrl(text: string): Place {
  const [, name = "", rest = ""] = /^([a-z0-9]+):\/\/(.*)$/s.exec(text) ?? [];
  const scheme = schemes.find((each) => each === name);
  if (scheme === undefined) throw malformed(text, "it does not begin with s3:// or gs://");
  const slash = rest.indexOf("/");
  const bucket = slash < 0 ? rest : rest.slice(0, slash);
  // One slash at the end is how many people write a folder.
  const prefix = slash < 0 ? "" : rest.slice(slash + 1).replace(/\/$/, "");
  if (!bucketNames[scheme].test(bucket) || bucket.includes(".."))
    throw malformed(text, `${quoted(bucket)} cannot be the name of a bucket`);
  const fault = prefix === "" ? undefined : faultOf(prefix);
  if (fault !== undefined) throw malformed(text, fault);
  return { scheme, bucket, prefix, url: `${scheme}://${bucket}${prefix === "" ? "" : `/${prefix}`}` };
}

/** The key of the object `name`, which lies below the prefix. Throws INVALID_ARGUMENT for a name that leaves it. */
export function keyOf(place: Place, name: string): string {
  const fault = faultOf(name);
  if (fault !== undefined) throw malformed(`${place.url}/${name}`, fault);
  const key = below(place) + name;
  // The limit of S3 and of Google; a longer one would be refused after all the bytes were sent.
  if (Buffer.byteLength(key) > 1024) throw malformed(`${place.url}/${name}`, "it is longer than 1024 bytes");
  return key;
}

/** What the keys of all objects of `place` begin with. */
export function below({ prefix }: Place): string {
  return prefix === "" ? "" : `${prefix}/`;
}

/** 3 to 63 characters; Google's may also have underscores, and be domains of up to 222 characters. */
const bucketNames: Record<Scheme, RegExp> = {
  s3: /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/,
  gs: /^[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]$/,
};

/**
 * Why no object of ours has this name. A store takes nearly any key, but HTTP clients and proxies fold "." and ".." and empty parts, so that a request
 * would go to another object than the one that was signed and checked.
 */
export function faultOf(path: string): string | undefined {
  if (/\p{Cc}/u.test(path)) return "it holds a control character";
  if (!path.isWellFormed()) return "it is not valid Unicode";
  const bad = path.split("/").find((part) => part === "" || part === "." || part === "..");
  if (bad === "") return "it has an empty part";
  return bad === undefined ? undefined : `it has a part ${quoted(bad)}`;
}

function malformed(text: string, why: string): CedanaError {
  return new CedanaError({
    reason: "INVALID_ARGUMENT",
    message: `${quoted(text)} is no place for checkpoints: ${why}`,
    hint: "write s3://bucket/prefix or gs://bucket/prefix, with plain names between the slashes",
  });
}

/** JSON leaves the control characters above ASCII as they are. */
function quoted(text: string): string {
  return JSON.stringify(text.slice(0, 1024)).replace(/\p{Cc}/gu, "\ufffd");
}
