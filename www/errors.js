// @ts-check
// Every failure becomes a sentence, perhaps a second one that says what to do, and a short code.

/** A failure that the page itself finds, in the same form as the package's `InferenceError`. */
export class PageError extends Error {
  /**
   * @param {string} code
   * @param {string} message
   * @param {string} [hint]
   */
  constructor(code, message, hint) {
    super(message);
    this.name = 'PageError';
    this.code = code;
    this.hint = hint;
  }
}

/**
 * What a visitor of this page can do, where the package's own hint is for whoever writes a page.
 *
 * @type {Readonly<Record<string, string>>}
 */
const VISITOR_HINTS = {
  RUNTIME_CRASH: 'Press “Try again”: the model is then loaded anew.',
  SESSION_RELEASED: 'Press “Try again”: the model is then loaded anew.',
  OUT_OF_MEMORY: 'Close other tabs, or choose a smaller picture or model.',
};

/**
 * @typedef {object} Explanation
 * @property {string} message
 * @property {string} hint    empty when there is nothing to advise
 * @property {string} code    empty when there is none
 */

/**
 * @param {unknown} error
 * @returns {Explanation}
 */
export function explain(error) {
  if (error instanceof Error && 'code' in error && typeof error.code === 'string') {
    const hint = VISITOR_HINTS[error.code] ?? ('hint' in error && typeof error.hint === 'string' ? error.hint : '');
    return { message: sentence(error.message), hint: hint && sentence(hint), code: error.code };
  }
  const detail = error instanceof Error ? error.message : String(error);
  return {
    message: 'Something went wrong that this page does not expect.',
    hint: detail && sentence(`The browser says: ${detail}`),
    code: error instanceof Error ? error.name : '',
  };
}

/** @param {unknown} error */
export function isAbort(error) {
  return error instanceof DOMException && error.name === 'AbortError';
}

/** @param {string} text */
function sentence(text) {
  const trimmed = text.trim();
  // Only a plain word: the address or the name of an operator at the beginning stays as it is.
  const capital = /^[a-z]+[ ,]/.test(trimmed) ? trimmed.charAt(0).toUpperCase() + trimmed.slice(1) : trimmed;
  return /[.!?]$/.test(capital) ? capital : `${capital}.`;
}
