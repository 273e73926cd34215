/** May this checkpoint be restored here? Asked before anything is touched. */
import { machine } from "node:os";
import type { Manifest } from "../archive/manifest.ts";
import { type CriuVersion, formatVersion } from "../criu/version.ts";
import { CedanaError } from "../errors.ts";
import { cpuFeatures } from "../system/cpu.ts";
import { compareVersions, parseVersion } from "../system/version.ts";

export function checkCompatible(manifest: Manifest, criu: CriuVersion): void {
  const refuse = (message: string, hint?: string) =>
    new CedanaError({ reason: "CHECKPOINT_INCOMPATIBLE", message: `cannot restore: ${message}`, hint });
  if (manifest.arch !== machine()) {
    throw refuse(
      `the checkpoint is of a ${manifest.arch} host, this one is ${machine()}`,
      "restore it on such a host",
    );
  }
  const made = parseVersion(manifest.criuVersion);
  if (made !== undefined && compareVersions(made, criu) > 0) {
    throw refuse(
      `the checkpoint was made by CRIU ${manifest.criuVersion}, this host has ${formatVersion(criu)}`,
      "install that CRIU or a newer one: cedana plugin install criu",
    );
  }
  const here = new Set(cpuFeatures());
  const missing = manifest.cpuFeatures.filter((feature) => !here.has(feature));
  if (missing.length > 0) {
    throw refuse(
      `this host's CPU lacks what the process may use: ${missing.slice(0, 8).join(", ")}${missing.length > 8 ? " …" : ""}`,
      "restore it on a host with the same or a newer CPU",
    );
  }
}
