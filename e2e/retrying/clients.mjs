// Sends one POST by a client that repeats, as the client does by itself.
import axios from 'axios';
import axiosRetry from 'axios-retry';
import OpenAI from 'openai';

const [, , name, url] = process.argv;
const clients = {
  async 'axios-retry'() {
    const client = axios.create();
    axiosRetry(client, { retries: 3, retryCondition: axiosRetry.isRetryableError });
    return (await client.post(url, {})).status;
  },
  // As shipped it repeats a POST only on a lost connection; on a 5xx too when told to.
  async 'axios-retry-5xx'() {
    const client = axios.create();
    axiosRetry(client, { retries: 3, retryDelay: () => 5, retryCondition: (error) => axiosRetry.isNetworkError(error) || axiosRetry.isRetryableError(error) });
    return (await client.post(url, {})).status;
  },
  async stainless() {
    const client = new OpenAI({ baseURL: url, apiKey: 'none', maxRetries: 2 });
    await client.chat.completions.create({ model: 'm', messages: [{ role: 'user', content: 'x' }] });
    return 201;
  },
};
try {
  console.log(await clients[name]());
} catch (error) {
  console.log(error.status ?? error.response?.status ?? error.code ?? error.message);
}
