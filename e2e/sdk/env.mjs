// What e2e/clients_test.go passes to the scripts, and what they share.
import { setTimeout as pause } from "node:timers/promises";

export const proxy = process.env.PROXY_URL; // of the sidecar, without /v1
export const entityID = process.env.ENTITY_ID;
export const entityUserID = process.env.ENTITY_USER_ID;
export const simulator = process.env.SIM_URL;

// control calls the simulator's own surface, past the sidecar.
export async function control(method, path) {
  const response = await fetch(`${simulator}/_sim/${path}`, { method });
  if (!response.ok) throw new Error(`${method} /_sim/${path}: ${response.status}`);
  return response.json();
}

// endTokens ends every access token, by "revoke_all" or "expire_all". The
// sidecar does not mint again within a second of a mint, whatever upstream
// says, so that second must be over.
export async function endTokens(how) {
  await pause(1100);
  await control("POST", how);
}

export function counterpart(name) {
  return {
    type: "organization",
    organization: {
      legal_name: name,
      is_vendor: true,
      is_customer: false,
      email: "office@example.com",
      address: { country: "DE", city: "Berlin", postal_code: "10115", line1: "Invalidenstr. 1" },
    },
  };
}
