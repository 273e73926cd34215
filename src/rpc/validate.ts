/**
 * The checks that every request passes at the edge, by hand: a rule library costs more start-up time than the whole
 * call. Each throws INVALID_ARGUMENT that names the field. What needs the host or the store is the engine's to check.
 */
import { CedanaError } from "../errors.ts";
import { isContainerId } from "../runc/id.ts";
import { isStorageUrl } from "../storage/place.ts";

/** Longest path of the kernel, PATH_MAX, without its NUL. */
const maxPathBytes = 4095;
/** Longest single argument or variable of execve(2), MAX_ARG_STRLEN, without its NUL. */
const maxStringBytes = 131071;
/** All of a list together. execve(2) takes 2 MiB of arguments and environment with the usual 8 MiB stack limit. */
const maxListBytes = 2 * 1024 * 1024;
const maxListItems = 65536;
/** The largest that any kernel can be set to, 2^22. */
const maxPid = 4194304;

const jidPattern = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/;
const typePattern = /^[a-z][a-z0-9-]{0,31}$/;
const uuidPattern = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

export function invalid(field: string, problem: string): CedanaError {
  return new CedanaError({ reason: "INVALID_ARGUMENT", message: `${field}: ${problem}` });
}

/** Any text: no NUL byte (C strings end there, so what is checked would not be what is used), and not too long. */
export function text(field: string, value: string, maxBytes = maxStringBytes): string {
  if (value.includes("\0")) throw invalid(field, "holds a NUL byte");
  if (Buffer.byteLength(value) > maxBytes) throw invalid(field, `is longer than ${maxBytes} bytes`);
  return value;
}

/** "" means absent. */
export function optional<T>(value: string, check: (value: string) => T): T | undefined {
  return value === "" ? undefined : check(value);
}

export function absolutePath(field: string, value: string): string {
  text(field, value, maxPathBytes);
  if (!value.startsWith("/")) throw invalid(field, `must be an absolute path, not "${value}"`);
  return value;
}

/** A path of this host, or a URL of a bucket, whose form the storage checks. */
export function place(field: string, value: string): string {
  return isStorageUrl(value) ? text(field, value, maxPathBytes) : absolutePath(field, value);
}

/** A name for one new entry of a folder, with room for a codec's suffix; hidden names are ours. */
export function fileName(field: string, value: string): string {
  text(field, value, 200);
  if (value.includes("/") || value.startsWith(".")) {
    throw invalid(
      field,
      `must be a plain file name without "/" that does not begin with ".", not "${value}"`,
    );
  }
  return value;
}

export function pid(field: string, value: number): number {
  if (value < 1 || value > maxPid) throw invalid(field, `must be from 1 to ${maxPid}, not ${value}`);
  return value;
}

export function jid(field: string, value: string): string {
  if (jidPattern.test(value)) return value;
  throw invalid(
    field,
    `must be 1 to 64 letters, digits, "_", "." or "-" and begin with a letter or digit, not ${quoted(value)}`,
  );
}

/** Or the beginning of one, or Docker's name of a container, which has no other characters. */
export function containerId(field: string, value: string): string {
  if (isContainerId(value)) return value;
  throw invalid(
    field,
    `must be 1 to 255 letters, digits, "_", "+", "." or "-", and not "." or "..", not ${quoted(value)}`,
  );
}

export function checkpointId(field: string, value: string): string {
  if (!uuidPattern.test(value)) throw invalid(field, `must be a checkpoint's UUID, not ${quoted(value)}`);
  return value.toLowerCase();
}

export function uuid(field: string, value: string): string {
  if (!uuidPattern.test(value)) throw invalid(field, `must be a UUID, not ${quoted(value)}`);
  return value.toLowerCase();
}

/** A runtime's name; "" means "process". Whether it exists is the engine's to say. */
export function runtimeType(field: string, value: string): string {
  if (value === "") return "process";
  if (!typePattern.test(value)) throw invalid(field, `is no type of job: ${quoted(value)}`);
  return value;
}

export function oneOf<T extends string>(field: string, value: string, known: readonly T[]): T {
  const found = known.find((word) => word === value);
  if (found === undefined) throw invalid(field, `must be one of ${known.join(", ")}, not ${quoted(value)}`);
  return found;
}

export function integer(field: string, value: number, min: number, max: number): number {
  if (value < min || value > max) throw invalid(field, `must be from ${min} to ${max}, not ${value}`);
  return value;
}

/** A list of texts, bounded each and together. */
export function list(field: string, values: string[], check = text): string[] {
  if (values.length > maxListItems) throw invalid(field, `holds more than ${maxListItems} items`);
  let bytes = 0;
  values.forEach((value, index) => {
    check(`${field}[${index}]`, value);
    bytes += Buffer.byteLength(value) + 1;
  });
  if (bytes > maxListBytes) throw invalid(field, `is longer than ${maxListBytes} bytes in all`);
  return values;
}

export function variable(field: string, value: string): string {
  text(field, value);
  // The value stays out of the message: environments hold secrets.
  if (value.indexOf("=") < 1) throw invalid(field, "must be KEY=VALUE");
  return value;
}

function quoted(value: string): string {
  return JSON.stringify(value.length > 80 ? `${value.slice(0, 80)}…` : value);
}
