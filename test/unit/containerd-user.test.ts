import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readRootfsFile } from "../../src/containerd/rootfs_file.ts";
import { resolveUser } from "../../src/containerd/user.ts";

describe("an image's user", () => {
  const files = {
    passwd: "root:x:0:0:root:/root:/bin/sh\nweb:x:33:34::/:/bin/false\nodd line\n",
    group: "root:x:0:\nweb:x:34:web\nlogs:x:40:mail,web\nwheel:x:10:root\n",
  };

  test.each([
    ["", { uid: 0, gid: 0, additionalGids: [0, 10] }],
    ["root", { uid: 0, gid: 0, additionalGids: [0, 10] }],
    ["web", { uid: 33, gid: 34, additionalGids: [34, 40] }],
    ["33", { uid: 33, gid: 34, additionalGids: [34, 40] }],
    ["1000", { uid: 1000, gid: 0, additionalGids: [0] }],
    ["1000:1000", { uid: 1000, gid: 1000, additionalGids: [1000] }],
    ["web:logs", { uid: 33, gid: 40, additionalGids: [40] }],
    ["web:7", { uid: 33, gid: 7, additionalGids: [7, 40] }],
  ])("%p", (user, ids) => {
    expect(resolveUser(user, files)).toEqual(ids);
  });

  test("that has only a number needs no files", () => {
    const none = { passwd: undefined, group: undefined };
    expect(resolveUser("5:6", none)).toEqual({ uid: 5, gid: 6, additionalGids: [6] });
    expect(() => resolveUser("web", none)).toThrow('the user "web", which its /etc/passwd does not have');
  });

  test("is refused where the image does not know the name, or no kernel the number", () => {
    for (const user of ["nobody", "4294967295", "99999999999", "-1"])
      expect(() => resolveUser(user, files)).toThrow("the image wants to run as the user");
    expect(() => resolveUser("web:none", files)).toThrow('the group "none"');
  });
});

describe("a file of a snapshot", () => {
  let dir = "";
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), "cedana-rootfs-"));
    for (const layer of ["top", "middle", "bottom"]) mkdirSync(join(dir, layer, "etc"), { recursive: true });
    writeFileSync(join(dir, "middle/etc/passwd"), "middle");
    writeFileSync(join(dir, "bottom/etc/passwd"), "bottom");
  });
  afterEach(() => rmSync(dir, { recursive: true, force: true }));

  const overlay = () => ({
    type: "overlay",
    source: "overlay",
    options: [`workdir=${dir}/w`, `upperdir=${dir}/top`, `lowerdir=${dir}/middle:${dir}/bottom`],
  });

  test("is that of the topmost layer which has it", () => {
    expect(readRootfsFile([overlay()], "/etc/passwd")).toBe("middle");
    writeFileSync(join(dir, "top/etc/passwd"), "top");
    expect(readRootfsFile([overlay()], "/etc/passwd")).toBe("top");
    expect(readRootfsFile([overlay()], "/etc/group")).toBeUndefined();
    const bind = { type: "bind", source: join(dir, "bottom"), options: ["ro", "rbind"] };
    expect(readRootfsFile([bind], "/etc/passwd")).toBe("bottom");
  });

  test("is gone where a layer deletes it", () => {
    execFileSync("mknod", [join(dir, "top/etc/passwd"), "c", "0", "0"]);
    expect(readRootfsFile([overlay()], "/etc/passwd")).toBeUndefined();
  });

  test("is not the host's, whatever a link in the image says", () => {
    symlinkSync("/etc/passwd", join(dir, "top/etc/passwd"));
    expect(readRootfsFile([overlay()], "/etc/passwd")).toBeUndefined();
    rmSync(join(dir, "top/etc"), { recursive: true });
    symlinkSync("/etc", join(dir, "top/etc"));
    expect(readRootfsFile([overlay()], "/etc/passwd")).toBeUndefined();
  });
});
