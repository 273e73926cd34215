/** Names of containers, checked before any path is made of them. */
import { CedanaError } from "../errors.ts";

const legal = /^[A-Za-z0-9_+.-]{1,255}$/;

/** What runc takes (its validateID), within what one path component may hold. */
export function isContainerId(text: string): boolean {
  return legal.test(text) && text !== "." && text !== "..";
}

/** Throws INVALID_ARGUMENT for what no container can be called. */
export function checkContainerId(text: string): void {
  if (isContainerId(text)) return;
  const shown = JSON.stringify(text.length > 64 ? `${text.slice(0, 64)}…` : text);
  throw new CedanaError({
    reason: "INVALID_ARGUMENT",
    message: text === "" ? "a container's id is needed" : `${shown} is no id of a container`,
    hint: "an id has 1 to 255 letters, digits, and _ + - .",
  });
}
