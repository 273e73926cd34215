import { describe, expect, test } from "bun:test";
import { chainId, digestOf } from "../../src/containerd/digest.ts";
import { checkIdentifier } from "../../src/containerd/identifier.ts";
import { wholeImageName } from "../../src/containerd/image_name.ts";
import { versionTrouble } from "../../src/containerd/version.ts";

describe("an image's name", () => {
  test.each([
    ["busybox", "docker.io/library/busybox:latest"],
    ["busybox:1.36", "docker.io/library/busybox:1.36"],
    ["me/app", "docker.io/me/app:latest"],
    ["docker.io/busybox", "docker.io/library/busybox:latest"],
    ["index.docker.io/me/app:2", "docker.io/me/app:2"],
    ["localhost/app", "localhost/app:latest"],
    ["localhost:5000/app", "localhost:5000/app:latest"],
    ["registry.k8s.io/pause:3.9", "registry.k8s.io/pause:3.9"],
    ["busybox@sha256:00ff", "docker.io/library/busybox@sha256:00ff"],
    ["busybox:1@sha256:00ff", "docker.io/library/busybox:1@sha256:00ff"],
  ])("%s is %s", (name, whole) => {
    expect(wholeImageName(name)).toBe(whole);
    expect(wholeImageName(whole)).toBe(whole);
  });

  test.each(["", "a b", "/etc", "a//b", "-x", "a\n"])("%p is none", (name) => {
    expect(() => wholeImageName(name)).toThrow("is no name of an image");
  });
});

test("a chain of layers is named as OCI says", () => {
  const [one, two] = [digestOf("one"), digestOf("two")];
  expect(chainId([])).toBe("");
  expect(chainId([one])).toBe(one);
  expect(chainId([one, two])).toBe(digestOf(`${one} ${two}`));
  expect(chainId([one, two, one])).toBe(chainId([chainId([one, two]), one]));
});

test("names that containerd would refuse are refused before", () => {
  for (const name of ["web", "web-1.a_b", "A9"]) expect(() => checkIdentifier("id", name)).not.toThrow();
  for (const name of ["", ".", "../x", "a/b", "a..b", "-a", "a\r\nb", "a".repeat(77)])
    expect(() => checkIdentifier("container id", name)).toThrow("cannot be a container id of containerd");
});

test("containerd 1.6 is new enough, and so is a build without a number", () => {
  for (const version of ["1.6.20~ds1", "v1.7.24", "2.1.0-rc.1", "0.0.0+unknown", ""])
    expect(versionTrouble(version)).toBeUndefined();
  for (const version of ["1.5.18", "v1.4.0", "0.2.9"]) {
    expect(versionTrouble(version)?.message).toBe(`containerd ${version} is too old`);
    expect(versionTrouble(version)?.hint).toBe("update it to 1.6 or newer");
  }
});
