/** Why a store could not be used, in the user's words: the place, the reason, the remedy. */
import { CedanaError, errnoOf, messageOf, type Reason } from "../errors.ts";
import type { Place, Scheme } from "./place.ts";
import { Garbled, isTransient, Refusal } from "./refusal.ts";
import { Stalled } from "./watch.ts";

interface Trouble {
  /** Continues "cannot …". */
  doing: string;
  place: Place;
  /** Of the server. */
  host: string;
  error: unknown;
  /** Times that it was tried. */
  tries: number;
}

/** What was thrown as a CedanaError whose `cause` it is. */
export function storageFailure(trouble: Trouble): CedanaError {
  const { error, doing, tries } = trouble;
  if (error instanceof CedanaError) return error;
  const { reason, why, hint } = explain(trouble);
  const often = tries > 1 ? ` (tried ${tries} times)` : "";
  return new CedanaError({ reason, message: `cannot ${doing}: ${why}${often}`, hint, cause: error });
}

export function cancelled(doing: string, cause: unknown): CedanaError {
  if (cause instanceof CedanaError) return cause;
  return new CedanaError({ reason: "CANCELLED", message: `cancelled: ${doing}`, cause });
}

/** The answer behind an error of this layer. */
export function refusalOf(error: unknown): Refusal | undefined {
  const cause = error instanceof CedanaError ? error.cause : error;
  return cause instanceof Refusal ? cause : undefined;
}

interface Explanation {
  reason: Reason;
  why: string;
  hint?: string;
}

function explain({ error, place, host }: Trouble): Explanation {
  if (error instanceof Refusal) return isTransient(error) ? busy(error, host) : refused(error, place, host);
  const hint = `check ${sections[place.scheme]}.endpoint and the network, then try again`;
  if (error instanceof Stalled)
    return { reason: "STORAGE_UNAVAILABLE", why: `${host} is silent: ${error.message}`, hint };
  if (error instanceof Garbled) return { reason: "STORAGE_UNAVAILABLE", why: error.message, hint };
  const errno = errnoOf(error);
  if (errno === undefined) return { reason: "INTERNAL", why: messageOf(error) };
  if (isCertificateFault(errno)) {
    const remedy = `check ${sections[place.scheme]}.endpoint; NODE_EXTRA_CA_CERTS names a file of further authorities`;
    return { reason: "STORAGE_UNAVAILABLE", why: `${host} is not trusted: ${errno}`, hint: remedy };
  }
  return { reason: "STORAGE_UNAVAILABLE", why: `${host} ${inWords(errno)}`, hint };
}

/** The section of the configuration that holds a store's keys. */
export const sections: Record<Scheme, "aws" | "gcs"> = { s3: "aws", gs: "gcs" };

function busy({ status, code }: Refusal, host: string): Explanation {
  const answer = code.startsWith("HTTP") ? String(status) : `${status} ${code}`;
  const why = `${host} answers ${answer}`;
  return {
    reason: "STORAGE_UNAVAILABLE",
    why,
    hint: "the store is overloaded or out of order: try again later",
  };
}

function refused(refusal: Refusal, place: Place, host: string): Explanation {
  const section = sections[place.scheme];
  const { status, code, detail, region } = refusal;
  switch (code) {
    case "NoSuchBucket":
      return {
        reason: "PATH_NOT_FOUND",
        why: `there is no bucket ${place.bucket} at ${host}`,
        hint: `create it, or check its name and ${section}.endpoint`,
      };
    case "NoSuchKey":
      return { reason: "PATH_NOT_FOUND", why: "there is no such object" };
    case "PreconditionFailed":
      return {
        reason: "CHECKPOINT_CORRUPT",
        why: "the object was replaced while it was read",
        hint: "try again when nobody writes there",
      };
    case "InvalidAccessKeyId":
      return denied("the key id is not known there", `check ${section}.access_key_id`);
    case "SignatureDoesNotMatch":
      return denied("the secret key does not fit the key id", `check ${section}.secret_access_key`);
    case "ExpiredToken":
    case "InvalidToken":
    case "TokenRefreshRequired":
      return denied("the session token has expired or is not valid", "get new keys with a new token");
    case "RequestTimeTooSkewed":
      return denied("the clocks of this host and of the store differ", "set the clock of this host");
    case "QuotaExceeded":
    case "InsufficientStorage":
      return { reason: "DISK_FULL", why: `the store is full (${code})`, hint: "delete checkpoints there" };
  }
  if (region !== undefined && (status < 400 || code === "AuthorizationHeaderMalformed")) {
    return {
      reason: "PATH_NOT_USABLE",
      why: `bucket ${place.bucket} is in region ${region}`,
      hint: `set ${section}.region to ${region}`,
    };
  }
  const said = detail === "" ? code : `${code}: ${detail}`;
  if (status === 401 || status === 403) {
    const rights =
      "reading needs the rights to get and list objects, writing those to put and delete them too";
    return denied(`access is denied (${said})`, rights);
  }
  return {
    reason: "PATH_NOT_USABLE",
    why: `${host} answers ${status} ${said}`,
    hint: `check that ${section}.endpoint is an S3 interface`,
  };
}

function denied(why: string, hint: string): Explanation {
  return { reason: "PERMISSION_DENIED", why, hint };
}

export function isCertificateFault(errno: string): boolean {
  return /CERT|SELF_SIGNED|UNABLE_TO|ISSUER|SSL|TLS/.test(errno);
}

/** Bun names failures of the network in words of its own. */
function inWords(errno: string): string {
  switch (errno) {
    case "ConnectionRefused":
    case "ECONNREFUSED":
      return "refuses the connection";
    case "ConnectionClosed":
    case "ECONNRESET":
      return "closed the connection";
    case "FailedToOpenSocket":
    case "ENOTFOUND":
      return "cannot be reached, or its name is not known";
    default:
      return `cannot be reached: ${errno}`;
  }
}
