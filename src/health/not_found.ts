/** A program that is missing, or cannot be used. */
import { CedanaError } from "../errors.ts";
import type { HealthItem } from "./types.ts";

/** Throws what is no CedanaError: that is ours. */
export function notFound(component: string, status: HealthItem["status"], error: unknown): HealthItem {
  if (!(error instanceof CedanaError)) throw error;
  const { message, hint } = error;
  return { component, name: "found", value: message, status, ...(hint && { remedy: hint }) };
}
