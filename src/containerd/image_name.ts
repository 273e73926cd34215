/** containerd knows images by their whole names; people write them as docker does. */
import { CedanaError } from "../errors.ts";

/**
 * "busybox" → "docker.io/library/busybox:latest", "me/app:1" → "docker.io/me/app:1"; a name with a host, a digest or a
 * tag keeps it. Throws INVALID_ARGUMENT for what is no name.
 */
export function wholeImageName(name: string): string {
  if (name === "" || /[\s\p{Cc}]|^\/|\/\/|^-/u.test(name)) {
    throw new CedanaError({
      reason: "INVALID_ARGUMENT",
      message: `"${name}" is no name of an image`,
      hint: "write it like busybox, me/app:1.0 or registry.example.com/app:1.0",
    });
  }
  const [domain, path] = splitDomain(name);
  const whole = domain === "docker.io" && !path.includes("/") ? `library/${path}` : path;
  // A colon after the last slash is a tag's, or a digest's after the @.
  const last = whole.slice(whole.lastIndexOf("/") + 1);
  return `${domain}/${whole}${/[@:]/.test(last) ? "" : ":latest"}`;
}

/** What comes before the first slash is a host if it could be nothing else. */
function splitDomain(name: string): [string, string] {
  const slash = name.indexOf("/");
  const first = name.slice(0, Math.max(slash, 0));
  if (!/[.:]/.test(first) && first !== "localhost") return ["docker.io", name];
  return [first === "index.docker.io" ? "docker.io" : first, name.slice(slash + 1)];
}
