/** Turns whatever was thrown into a sentence: what happened, what is safe, what to do. Never a code alone. */
import type { Catalogue } from '../../i18n/catalogue';
import type { EngineCode } from '../../domain/failure';
import type { Code } from '../../protocol/problem';

/** Reads the code out of whatever was thrown; undefined when it carries none. */
export function codeOf(thrown: unknown): string | undefined {
  if (typeof thrown !== 'object' || thrown === null || !('code' in thrown)) return undefined;
  return typeof thrown.code === 'string' ? thrown.code : undefined;
}

/** Every code has its sentence: one that lacks it does not compile. */
type Sentences = Readonly<Record<Code | EngineCode, string>>;

/** The sentence for a failure, in the language of the catalogue. An unknown code is told, in brackets, after a general sentence. */
export function explain(thrown: unknown, t: Catalogue): string {
  const code = codeOf(thrown);
  if (code === undefined) return t.error.unexpected;
  const sentences: Sentences = t.error;
  return isKnown(code, sentences) ? sentences[code] : `${t.error.unexpected} ${t.error.code(code)}`;
}

function isKnown(code: string, sentences: Sentences): code is Code | EngineCode {
  return code !== 'unexpected' && code !== 'code' && Object.hasOwn(sentences, code);
}
