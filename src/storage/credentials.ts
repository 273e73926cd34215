/** Whose keys a store is asked with: those of the configuration, else those of the shared credentials file. */
import { join } from "node:path";
import type { Config } from "../config/schema.ts";
import { CedanaError } from "../errors.ts";
import type { Scheme } from "./place.ts";
import { readProfile } from "./profile.ts";

/** Secret: never in arguments, logs, errors or manifests. */
export interface Credentials {
  accessKeyId: string;
  secretAccessKey: string;
  /** Of temporary keys. */
  sessionToken: string | undefined;
  region: string;
  /** "https://host:port", asked by path; undefined: Amazon's or Google's own. */
  endpoint: string | undefined;
}

/** What the configuration says of stores (AWS_* included); plain data, and secret as well. */
export type StorageSettings = Pick<Config, "aws" | "gcs">;

/** Whose files are read: the caller's, with the caller's rights. */
export interface Owner {
  /** Home folder. */
  home: string;
  /** AWS_PROFILE, AWS_SHARED_CREDENTIALS_FILE and AWS_CONFIG_FILE are heeded. */
  env: Readonly<Record<string, string | undefined>>;
}

/**
 * Throws BAD_CONFIG that says which keys are missing, or which file cannot be read or understood. Files are looked at
 * for s3 only, and only for what the configuration (AWS_* included) does not say.
 */
export function credentialsOf(
  settings: StorageSettings,
  { scheme, owner }: { scheme: Scheme; owner: Owner },
): Credentials {
  return scheme === "gs" ? googles(settings.gcs) : amazons(settings.aws, owner);
}

function googles(gcs: StorageSettings["gcs"]): Credentials {
  const keys = pairIn(gcs, "gcs");
  if (keys === undefined) {
    throw new CedanaError({
      reason: "BAD_CONFIG",
      message: "there are no keys for gs://: gcs.access_key_id and gcs.secret_access_key are empty",
      hint: "make an HMAC key (gcloud storage hmac create ACCOUNT) and set both",
    });
  }
  // Google's HMAC keys sign for any region.
  return { ...keys, sessionToken: undefined, region: "auto", endpoint: endpointIn(gcs.endpoint, "gcs") };
}

function amazons(aws: StorageSettings["aws"], { home, env }: Owner): Credentials {
  const profile = env.AWS_PROFILE || "default";
  const paths = {
    credentials: env.AWS_SHARED_CREDENTIALS_FILE || join(home, ".aws/credentials"),
    config: env.AWS_CONFIG_FILE || join(home, ".aws/config"),
  };
  const configured = pairIn(aws, "aws");
  const shared = configured === undefined ? readProfile(paths.credentials, [profile]) : undefined;
  // The config file's name for a profile has a word before it, except the default's.
  const names = profile === "default" ? [profile] : [`profile ${profile}`];
  const settings =
    configured !== undefined && aws.region !== "" ? undefined : readProfile(paths.config, names);
  const region = aws.region || settings?.get("region") || shared?.get("region") || "us-east-1";
  const endpoint = endpointIn(aws.endpoint, "aws");
  if (configured !== undefined)
    return { ...configured, sessionToken: aws.session_token || undefined, region, endpoint };
  const accessKeyId = shared?.get("aws_access_key_id");
  const secretAccessKey = shared?.get("aws_secret_access_key");
  if (!accessKeyId || !secretAccessKey) throw noKeys({ path: paths.credentials, profile, shared, settings });
  const sessionToken = shared?.get("aws_session_token") || undefined;
  return { accessKeyId, secretAccessKey, sessionToken, region, endpoint };
}

function pairIn(section: StorageSettings["gcs"], name: string) {
  const { access_key_id: accessKeyId, secret_access_key: secretAccessKey } = section;
  if (accessKeyId !== "" && secretAccessKey !== "") return { accessKeyId, secretAccessKey };
  if (accessKeyId === "" && secretAccessKey === "") return undefined;
  const missing = `${name}.${accessKeyId === "" ? "access_key_id" : "secret_access_key"}`;
  const message = `${missing} is empty, and the other half of the keys is set`;
  throw new CedanaError({ reason: "BAD_CONFIG", message, hint: "set both or neither" });
}

function endpointIn(text: string, section: string): string | undefined {
  if (text === "") return undefined;
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const usable = url !== undefined && /^https?:$/.test(url.protocol) && url.search === "" && url.hash === "";
  if (usable && url.username === "" && url.password === "") return text;
  // The text itself is not told: whoever put a password into it should not find it in a log.
  throw new CedanaError({
    reason: "BAD_CONFIG",
    message: `${section}.endpoint is no address of a store`,
    hint: "write https://HOST or http://HOST:PORT, without a user, a password or a query",
  });
}

type Section = ReadonlyMap<string, string> | undefined;

function noKeys(options: { path: string; profile: string; shared: Section; settings: Section }): CedanaError {
  const { path, profile, shared, settings } = options;
  const all = [...(shared?.keys() ?? []), ...(settings?.keys() ?? [])];
  const other = all.find((key) =>
    /^(sso_|credential_process|role_arn|source_profile|web_identity)/.test(key),
  );
  if (other !== undefined) {
    return new CedanaError({
      reason: "BAD_CONFIG",
      message: `profile ${profile} of ${path} gets its keys by ${other}, which is not supported`,
      hint: 'give the keys themselves: eval "$(aws configure export-credentials --format env)"',
    });
  }
  return new CedanaError({
    reason: "BAD_CONFIG",
    message: `there are no keys for s3://: aws.access_key_id is empty, and ${path} has no keys of profile ${profile}`,
    hint: "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run `aws configure`",
  });
}
