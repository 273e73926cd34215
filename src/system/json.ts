/** Reading the JSON of images and specs, which others wrote: what is absent or of another type is told by the caller. */
export type Json = Record<string, unknown>;

export function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The field's text; undefined where it is absent, empty or no text. */
export function textIn(object: Json, name: string): string | undefined {
  const value = object[name];
  return typeof value === "string" && value !== "" ? value : undefined;
}

/** The field's texts; none where it is absent. */
export function textsIn(object: Json, name: string): string[] {
  return listIn(object, name).filter((value) => typeof value === "string");
}

export function listIn(object: Json, name: string): unknown[] {
  const value: unknown = object[name];
  return Array.isArray(value) ? value : [];
}

export function objectIn(object: Json, name: string): Json {
  const value = object[name];
  return isObject(value) ? value : {};
}

/** The object that a text holds; undefined when it holds none. */
export function parseObject(text: string): Json | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

export function bytesOf(value: unknown): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(value));
}
