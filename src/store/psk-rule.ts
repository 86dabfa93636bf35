/** Length of a pre-shared key in characters. */
export const PSK_LENGTH = { min: 6, max: 128 } as const;

/** The API's pattern: 6 to 128 of the allowed characters, not beginning with 0x or 0s. */
export const PSK_PATTERN = '^(?!0[xs])[-+&!@#$%^*(),.:_a-zA-Z0-9]{6,128}$';

const ALLOWED = /^[-+&!@#$%^*(),.:_a-zA-Z0-9]$/;
const ALLOWED_TEXT = 'letters, digits and - + & ! @ # $ % ^ * ( ) , . : _';

/**
 * What is wrong with a pre-shared key, or undefined when nothing is. Speaks of lengths and positions only:
 * no character of the key is in the text.
 */
export function pskProblem(psk: string): string | undefined {
  const characters = [...psk];
  const bad = characters.findIndex((character) => !ALLOWED.test(character));
  if (bad >= 0) {
    const which = /\s/.test(characters[bad]!) ? 'white space' : 'a character that is not allowed';
    return `holds ${which} at position ${bad + 1}: allowed are ${ALLOWED_TEXT}`;
  }
  if (characters.length < PSK_LENGTH.min || characters.length > PSK_LENGTH.max) {
    return `has ${characters.length} characters: ${PSK_LENGTH.min} to ${PSK_LENGTH.max} are needed`;
  }
  if (/^0[xs]/.test(psk)) {
    return `begins with 0x or 0s, which other gateways read as hexadecimal or base64: choose another beginning`;
  }
  return undefined;
}
