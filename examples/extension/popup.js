const answer = await chrome.runtime.sendMessage({ photo: document.querySelector('img').src });
document.querySelector('output').textContent = answer;
