import { CedanaError } from "../../src/errors.ts";

/** The CedanaError that `work` throws. */
export function failure(work: () => unknown): CedanaError {
  try {
    work();
  } catch (error) {
    if (error instanceof CedanaError) return error;
    throw error;
  }
  throw new Error("it did not fail");
}
