export type HealthStatus = "ok" | "warning" | "failure";

export interface HealthItem {
  /** "criu", "kernel", "limits" … */
  component: string;
  /** What was looked at: "version". */
  name: string;
  /** What was found: "4.2.1". */
  value: string;
  status: HealthStatus;
  /** What to do about a warning or failure. */
  remedy?: string;
}
