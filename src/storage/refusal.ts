/** What a store answers instead of what was asked, and whether to ask again. */
import { textOf } from "./xml.ts";

/** An answer that is no success. */
export class Refusal extends Error {
  readonly status: number;
  /** S3's word: "NoSuchBucket"; the status where the answer is not S3's ("HTTP 502" of a proxy). */
  readonly code: string;
  /** The store's own sentence, one line; often empty. */
  readonly detail: string;
  readonly retryAfter: string | null;
  /** Where the bucket really is, if the answer says so. */
  readonly region: string | undefined;

  constructor(status: number, headers: Headers, body: string) {
    const code = wordIn(textOf(body, "Code")) ?? `HTTP ${status}`;
    super(code);
    this.status = status;
    this.code = code;
    this.detail = (textOf(body, "Message") ?? "")
      .replace(/[\s\p{C}]+/gu, " ")
      .slice(0, 300)
      .trim();
    this.retryAfter = headers.get("retry-after");
    this.region = wordIn(headers.get("x-amz-bucket-region") ?? textOf(body, "Region"));
  }
}

/** What a strange server says is not put into our messages as it is. */
function wordIn(text: string | undefined): string | undefined {
  return text !== undefined && /^[\w.-]{1,100}$/.test(text) ? text : undefined;
}

/** A body that ended early, or an answer that is not S3's. */
export class Garbled extends Error {}

/** An answer, once `status` is seen to be no success. */
export async function refusalIn(response: Response): Promise<Refusal> {
  return new Refusal(response.status, response.headers, (await response.text()).slice(0, 64 * 1024));
}

const transientStatuses = [408, 429, 500, 502, 503, 504];
/** These come with a 400 or a 409. The first two are how S3 sees a part whose bytes stopped coming. */
const transientCodes = ["RequestTimeout", "IncompleteBody", "OperationAborted", "Throttling", "SlowDown"];

export function isTransient(refusal: Refusal): boolean {
  return transientStatuses.includes(refusal.status) || transientCodes.includes(refusal.code);
}
