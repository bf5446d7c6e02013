/** The recovery card as a picture and as a file. Drawn here; it never leaves the browser but by its owner's hand. */
import { encode } from 'uqr';
import type { RecoveryCard } from '../../domain/types';
import type { Catalogue } from '../../i18n/catalogue';

const width = 900; // px
const height = 1_200;

/** @param style where the colours of paper and ink are read from */
export async function cardPicture(card: RecoveryCard, name: string, t: Catalogue, style: CSSStyleDeclaration): Promise<Blob> {
  const canvas = document.createElement('canvas');
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext('2d');
  if (context === null) throw new Error('no canvas to draw the card on');
  const paper = style.getPropertyValue('--code-paper').trim();
  const ink = style.getPropertyValue('--code-ink').trim();
  const sans = style.getPropertyValue('--sans').trim();
  const serif = style.getPropertyValue('--serif').trim();

  context.fillStyle = paper;
  context.fillRect(0, 0, width, height);
  context.strokeStyle = ink;
  context.lineWidth = 2;
  context.strokeRect(24, 24, width - 48, height - 48);
  context.fillStyle = ink;
  context.textAlign = 'center';
  context.textBaseline = 'middle';

  const line = (text: string, y: number, font: string): void => {
    context.font = font;
    context.fillText(text, width / 2, y, width - 120);
  };
  line(t.card.fileTitle, 100, `400 44px ${serif}`);
  line(name, 168, `600 36px ${sans}`);

  const { data, size } = encode(card.text, { ecc: 'M', border: 0 });
  const cell = Math.floor(560 / size);
  const left = Math.round((width - cell * size) / 2);
  const top = 230;
  data.forEach((row, y) => {
    row.forEach((dark, x) => {
      if (dark) context.fillRect(left + x * cell, top + y * cell, cell, cell);
    });
  });

  line(card.handle, 870, `400 34px ${sans}`);
  const groups = card.code.split('-');
  line(groups.slice(0, 4).join('-'), 945, `600 44px monospace`);
  line(groups.slice(4).join('-'), 1_005, `600 44px monospace`);
  wrap(context, t.card.fileHow, width - 160, `400 24px ${sans}`).forEach((words, n) => {
    context.fillText(words, width / 2, 1_080 + n * 34);
  });

  return new Promise((resolve, reject) => {
    canvas.toBlob((blob) => {
      if (blob === null) reject(new Error('the card could not be made into a picture'));
      else resolve(blob);
    }, 'image/png');
  });
}

/** Breaks a sentence into lines that fit; Chinese between any two characters, other scripts between words. */
function wrap(context: CanvasRenderingContext2D, text: string, room: number, font: string): string[] {
  context.font = font;
  const lines: string[] = [];
  let line = '';
  for (const part of text.match(/\p{Script=Han}[，。：、“”]?|[^\s\p{Script=Han}]+\s*|\s+/gu) ?? []) {
    if (line !== '' && context.measureText(line + part).width > room) {
      lines.push(line.trim());
      line = part;
    } else line += part;
  }
  return [...lines, line.trim()];
}

/** A file that can be picked again when one comes back; its last two lines are what the app reads. */
export function cardFile(card: RecoveryCard, name: string, t: Catalogue): Blob {
  const text = [t.card.fileTitle, '', name, `${t.card.address}: ${card.handle}`, `${t.card.code}: ${card.code}`, '', t.card.fileHow, '', card.text, ''].join('\r\n');
  return new Blob([text], { type: 'text/plain;charset=utf-8' });
}
