// @ts-check
// Runs only in browsers without ES modules, which therefore run nothing else of this page. Hence the old syntax.
(function () {
  /**
   * @param {string} selector
   * @param {(element: HTMLElement) => void} change
   */
  function each(selector, change) {
    Array.prototype.forEach.call(document.querySelectorAll(selector), change);
  }
  each('main', function (main) {
    main.setAttribute('data-state', 'error');
  });
  each('#progress, #camera-start, #paste, #samples-title', function (part) {
    part.hidden = true;
  });
  each('.error-message', function (message) {
    message.textContent = 'This browser is too old to run the model.';
  });
  each('.error-hint', function (hint) {
    hint.textContent = 'Any current Chrome, Edge, Firefox or Safari can.';
  });
  each('#error', function (box) {
    box.hidden = false;
  });
})();
