/** Where the host gets its packages from, out of apt's source lists in both of their formats (sources.list(5)). */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { errnoOf } from "../../errors.ts";

export interface AptSource {
  uris: string[];
  suites: string[];
  components: string[];
  /** Path of a keyring, or a key itself; absent: apt's trusted keys. */
  signedBy?: string;
}

/** One `deb [options] URI suite component…` per line. */
export function parseList(text: string): AptSource[] {
  return text.split("\n").flatMap((line) => {
    const match = /^\s*deb\s+(?:\[([^\]]*)\]\s*)?(\S+)\s+(\S+)\s*([^#]*)/.exec(line);
    const [, options = "", uri, suite, components = ""] = match ?? [];
    if (!uri || !suite) return [];
    const signedBy = /(?:^|\s)signed-by=(\S+)/i.exec(options)?.[1];
    return [{ uris: [uri], suites: [suite], components: words(components), ...(signedBy && { signedBy }) }];
  });
}

/** deb822: stanzas of `Field: value`, whose further lines are indented. */
export function parseStanzas(text: string): AptSource[] {
  const lines = text.split("\n").filter((line) => !line.startsWith("#"));
  return lines
    .join("\n")
    .split(/\n\s*\n/)
    .flatMap((stanza) => {
      const fields = readFields(stanza);
      const field = (name: string) => fields.get(name) ?? "";
      if (!words(field("types")).includes("deb") || /^(no|false|off|0)$/i.test(field("enabled"))) return [];
      const signedBy = field("signed-by");
      return [
        {
          uris: words(field("uris")),
          suites: words(field("suites")),
          components: words(field("components")),
          ...(signedBy && { signedBy }),
        },
      ];
    });
}

function readFields(stanza: string): Map<string, string> {
  const fields = new Map<string, string>();
  let current = "";
  for (const line of stanza.split("\n")) {
    const [, name, value = ""] = /^([A-Za-z-]+):\s*(.*?)\s*$/.exec(line) ?? [];
    if (name) {
      current = name.toLowerCase();
      fields.set(current, value);
    } else if (current !== "" && line.trim() !== "") {
      fields.set(current, `${fields.get(current)}\n${line}`);
    }
  }
  return fields;
}

function words(text: string): string[] {
  return text.split(/\s+/).filter((word) => word !== "");
}

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return "";
    throw error;
  }
}

/** All sources under an apt configuration folder (/etc/apt). */
export function readSources(folder: string): AptSource[] {
  const parts = join(folder, "sources.list.d");
  let names: string[] = [];
  try {
    names = readdirSync(parts).sort();
  } catch (error) {
    if (errnoOf(error) !== "ENOENT") throw error;
  }
  return [
    ...parseList(read(join(folder, "sources.list"))),
    ...names.flatMap((name) => {
      if (name.endsWith(".list")) return parseList(read(join(parts, name)));
      return name.endsWith(".sources") ? parseStanzas(read(join(parts, name))) : [];
    }),
  ];
}

/** Names that a distribution's own archive has and other vendors' repositories have not. */
const rollingSuites = ["stable", "testing", "unstable", "sid", "devel"];

/**
 * The mirrors of the host's own distribution: sources of its release (`codename`) that hold its main component. Each
 * comes with one URI.
 */
export function distributionMirrors(sources: AptSource[], codename: string): AptSource[] {
  const own = new Set([codename, ...rollingSuites]);
  return sources
    .filter(({ suites, components }) => components.includes("main") && suites.some((suite) => own.has(suite)))
    .flatMap((source) => source.uris.map((uri) => ({ ...source, uris: [uri] })));
}

/** A source as a deb822 stanza. A key in `signedBy` keeps its indented lines. */
export function formatStanza({ uris, suites, components, signedBy }: AptSource): string {
  const lines = [
    "Types: deb",
    `URIs: ${uris.join(" ")}`,
    `Suites: ${suites.join(" ")}`,
    `Components: ${components.join(" ")}`,
  ];
  if (signedBy) lines.push(`Signed-By: ${signedBy}`);
  return `${lines.join("\n")}\n`;
}
