// .NET: lists entities, creates a tag, reads it back. Run with: dotnet run NAME
using System.Net.Http.Json;
using System.Text.Json;

var baseUrl = Environment.GetEnvironmentVariable("MONITE_BASE_URL") ?? "https://api.sandbox.monite.com/v1"; // http://localhost:8080/v1
var name = args[0];

// The machine's proxy settings must not get what is meant for the machine itself.
using var http = new HttpClient(new SocketsHttpHandler { UseProxy = false }) { Timeout = TimeSpan.FromSeconds(70) };
http.DefaultRequestHeaders.Add("X-Monite-Entity-Id", Environment.GetEnvironmentVariable("MONITE_ENTITY"));
// Code that insists on credentials may keep them: the sidecar removes the field.
http.DefaultRequestHeaders.Authorization = new("Bearer", Environment.GetEnvironmentVariable("MONITE_TOKEN") ?? "none");

(await http.GetAsync($"{baseUrl}/entities?limit=1")).EnsureSuccessStatusCode();
var created = await http.PostAsJsonAsync($"{baseUrl}/tags", new { name });
created.EnsureSuccessStatusCode();
var id = (await created.Content.ReadFromJsonAsync<JsonElement>()).GetProperty("id").GetString();
var read = await http.GetFromJsonAsync<JsonElement>($"{baseUrl}/tags/{id}");
if (read.GetProperty("name").GetString() != name) throw new Exception("read back something else");
Console.WriteLine($"created and read {name}");
