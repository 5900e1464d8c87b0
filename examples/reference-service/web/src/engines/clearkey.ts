/** ClearKey for engines that can't get the keys by themselves. */

export interface Key {
  kid: Uint8Array;
  key: Uint8Array;
}

/** Asks for the keys that a manifest names. */
export async function keysOf(manifest: string, license: string): Promise<Key[]> {
  const text = await (await fetch(manifest)).text();
  const named = text.matchAll(/(?:default_KID="|KEYID=0x)([0-9a-fA-F-]{32,36})/g);
  const kids = [...new Set([...named].map((m) => base64url(fromHex((m[1] ?? '').replaceAll('-', '')))))];
  const headers = { 'content-type': 'application/json' };
  const answer = await fetch(license, { method: 'POST', headers, body: JSON.stringify({ kids, type: 'temporary' }) });
  if (!answer.ok) throw new Error(`the licence was refused with ${answer.status}`);
  const { keys } = (await answer.json()) as { keys: { kid: string; k: string }[] };
  return keys.map(({ kid, k }) => ({ kid: fromBase64url(kid), key: fromBase64url(k) }));
}

function fromHex(text: string): Uint8Array {
  return Uint8Array.from(text.match(/../g) ?? [], (pair) => parseInt(pair, 16));
}

export function hex(bytes: Uint8Array): string {
  return [...bytes].map((b) => b.toString(16).padStart(2, '0')).join('');
}

function fromBase64url(text: string): Uint8Array {
  return Uint8Array.from(atob(text.replaceAll('-', '+').replaceAll('_', '/')), (c) => c.charCodeAt(0));
}

export function base64url(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes)).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
}
