/** A long press of a finger on something, as the mouse's button beside it does. */
import type { Attachment } from 'svelte/attachments';

const long = 450; // ms
const slack = 10; // px a finger may wander

export function hold(act: () => void): Attachment<HTMLElement> {
  return (element) => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    let start = { x: 0, y: 0 };

    const stop = (): void => {
      clearTimeout(timer);
      timer = undefined;
    };
    const down = (event: PointerEvent): void => {
      if (event.pointerType !== 'touch' || !event.isPrimary) return;
      start = { x: event.clientX, y: event.clientY };
      stop();
      timer = setTimeout(() => {
        timer = undefined;
        act();
      }, long);
    };
    const move = (event: PointerEvent): void => {
      if (Math.hypot(event.clientX - start.x, event.clientY - start.y) > slack) stop();
    };
    // The system's own menu on a long press would lie over ours; a mouse keeps its own.
    const menu = (event: Event): void => {
      if (event instanceof PointerEvent && event.pointerType === 'touch') event.preventDefault();
    };

    element.addEventListener('pointerdown', down);
    element.addEventListener('pointermove', move);
    element.addEventListener('pointerup', stop);
    element.addEventListener('pointercancel', stop);
    element.addEventListener('contextmenu', menu);
    return () => {
      stop();
      element.removeEventListener('pointerdown', down);
      element.removeEventListener('pointermove', move);
      element.removeEventListener('pointerup', stop);
      element.removeEventListener('pointercancel', stop);
      element.removeEventListener('contextmenu', menu);
    };
  };
}
