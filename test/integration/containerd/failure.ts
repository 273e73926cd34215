import { CedanaError } from "../../../src/errors.ts";

/**
 * The facts of what a call fails with; throws when it does not. `expect(…).rejects` holds up the event loop while it
 * waits, and Bun's HTTP/2 with it.
 */
export async function failureOf(
  call: Promise<unknown>,
): Promise<{ reason: string; message: string; hint?: string }> {
  try {
    await call;
  } catch (error) {
    if (!(error instanceof CedanaError)) throw error;
    const { reason, message, hint } = error;
    return { reason, message, hint };
  }
  throw new Error("it did not fail");
}
