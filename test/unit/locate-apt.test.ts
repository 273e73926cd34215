import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { firstComplaint } from "../../src/criu/apt/root.ts";
import {
  distributionMirrors,
  formatStanza,
  parseList,
  parseStanzas,
  readSources,
} from "../../src/criu/apt/sources.ts";

const list = `
# deb http://old.example/debian bookworm main
deb http://one.example/debian bookworm main contrib # the mirror
deb-src http://one.example/debian bookworm main
deb [arch=amd64 signed-by=/usr/share/keyrings/two.gpg] https://two.example/apt stable-app main
`;

const stanzas = `# a comment
Types: deb deb-src
URIs: http://three.example/debian http://four.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 mQINBF
 -----END PGP PUBLIC KEY BLOCK-----

Types: deb
URIs: http://five.example/debian
Suites: bookworm
Components: main
Enabled: no

Types: deb-src
URIs: http://six.example/debian
Suites: bookworm
Components: main
`;

describe("apt's sources", () => {
  test("of one line each are read with their options, without comments and sources of source code", () => {
    expect(parseList(list)).toEqual([
      { uris: ["http://one.example/debian"], suites: ["bookworm"], components: ["main", "contrib"] },
      {
        uris: ["https://two.example/apt"],
        suites: ["stable-app"],
        components: ["main"],
        signedBy: "/usr/share/keyrings/two.gpg",
      },
    ]);
  });

  test("as stanzas are read with a key among their lines, without disabled ones", () => {
    const [source, ...others] = parseStanzas(stanzas);
    expect(others).toEqual([]);
    expect(source?.uris).toEqual(["http://three.example/debian", "http://four.example/debian"]);
    expect(source?.suites).toEqual(["bookworm", "bookworm-updates"]);
    expect(source?.signedBy).toContain("\n mQINBF\n");
  });

  test("are written so that they read the same", () => {
    const sources = [...parseStanzas(stanzas), ...parseList(list)];
    expect(sources.flatMap((source) => parseStanzas(formatStanza(source)))).toEqual(sources);
  });

  test("of other vendors and of security updates are no mirrors of the distribution", () => {
    const security = {
      uris: ["http://one.example/security"],
      suites: ["bookworm-security"],
      components: ["main"],
    };
    const mirrors = distributionMirrors([...parseList(list), ...parseStanzas(stanzas), security], "bookworm");
    expect(mirrors.map(({ uris }) => uris)).toEqual([
      ["http://one.example/debian"],
      ["http://three.example/debian"],
      ["http://four.example/debian"],
    ]);
  });

  describe("in a folder", () => {
    let folder: string;
    beforeEach(() => {
      folder = mkdtempSync(join(tmpdir(), "cedana-apt-"));
    });
    afterEach(() => rmSync(folder, { recursive: true, force: true }));

    test("are all found, in both formats, and an empty folder has none", () => {
      expect(readSources(folder)).toEqual([]);
      mkdirSync(join(folder, "sources.list.d"));
      writeFileSync(join(folder, "sources.list"), list);
      writeFileSync(join(folder, "sources.list.d/a.sources"), stanzas);
      writeFileSync(join(folder, "sources.list.d/b.sources.bak"), stanzas);
      expect(readSources(folder)).toHaveLength(3);
    });
  });
});

test("of apt's output the person reads the one line that says why", () => {
  const output = `Ign:1 http://one.example/debian sid InRelease
Err:1 http://one.example/debian sid InRelease
  Could not resolve 'one.example'
Reading package lists...
E: Failed to fetch http://one.example/debian/dists/sid/InRelease  Could not resolve 'one.example'
E: Some index files failed to download.`;
  expect(firstComplaint(output)).toContain("Could not resolve 'one.example'");
  expect(firstComplaint("E: Unable to locate package criu")).toBe("Unable to locate package criu");
  expect(firstComplaint("")).toBe("no reason given");
});
