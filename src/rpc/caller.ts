/** Who is calling: set once per connection from what the kernel or the token says, never from a message. */
import { createHash, timingSafeEqual } from "node:crypto";
import { createContextKey, type HandlerContext } from "@connectrpc/connect";
import { CedanaError } from "../errors.ts";
import type { Identity } from "../system/caller.ts";

/** Undefined: nobody vouches for the caller, and every call is refused. */
export const callerKey = createContextKey<Identity | undefined>(undefined, { description: "caller" });

export function callerOf(context: HandlerContext): Identity {
  const caller = context.values.get(callerKey);
  if (caller === undefined) {
    throw new CedanaError({
      reason: "UNAUTHENTICATED",
      message: "the daemon does not accept this token, or none was sent",
      hint: "set connection.auth_token (CEDANA_AUTH_TOKEN) to the daemon's own",
    });
  }
  return caller;
}

/** Whether an Authorization header holds the token. Takes as long for a near miss as for any other wrong one. */
export function holdsToken(header: string | undefined, token: string): boolean {
  // Digests are of one length, so the comparison tells nothing of the token's.
  const digest = (text: string) => createHash("sha256").update(text).digest();
  return timingSafeEqual(digest(header ?? ""), digest(`Bearer ${token}`));
}
